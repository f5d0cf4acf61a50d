"""Evidence with noise: bounded vectors of patients, one sum of a site, and what follows from the sites' sums."""
