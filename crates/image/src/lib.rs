//! Images on top of storage: tag, import, load, unpack, list, remove.
