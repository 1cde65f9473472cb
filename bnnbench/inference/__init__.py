"""From a network, a task and a prior to steps, and from iterates to a posterior.

`chains` trains K networks as one, `potential` scales likelihood, prior and KL (the only place that knows N), `method`
puts network and update rule together, `minibatches` and `random` make every random number a function of named parts,
`normalisation` holds BatchNorm's policies, and `approximations` what stands for the posterior.

Whatever enters or leaves this room has the chain axis first: parameters of a prior, minibatches, outputs, losses,
predictions. (Update rules work elementwise and see parameters as torch stores them.)
"""
