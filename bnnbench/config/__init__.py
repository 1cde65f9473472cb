"""From words to a checked configuration; nothing here loads torch.

`composition.compose` turns overrides in Hydra's grammar into the resolved configuration of a run, a nested dict ("raw"
elsewhere in the package); `schema.parse` checks it and types it (`RunConfig`); `identity` hashes what can change its
numbers. `plugins` finds plug-ins by file or dotted name, `signatures` checks their options against the signature of
whatever receives them, `renamed` knows the keys that were called otherwise, `hydra_errors` puts Hydra's errors into
one or two lines. Defaults stand in conf/*.yaml, types and ranges in `schema` and in the plug-ins' signatures.
"""
