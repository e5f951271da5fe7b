//! For tests: a temporary engine of one's own, golden images and the census.
