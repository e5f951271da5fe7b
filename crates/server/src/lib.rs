//! HTTP over the engine: routing, version gating, hijacked streams.
