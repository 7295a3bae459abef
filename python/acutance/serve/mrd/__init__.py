"""MRD: a server that images run through on their way from the reconstruction to the scanner's database."""
