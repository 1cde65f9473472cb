"""Where the runs of a sweep take place: worker processes here, Slurm, Ray. One loop over futures, one file each."""
