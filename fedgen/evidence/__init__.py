"""What is said of a release: audits and metrics, one file each, as rows; what may leave, and how it is joined."""
