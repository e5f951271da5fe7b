//! Content-addressed blobs, layers, overlay mounts, tar apply and diff.
