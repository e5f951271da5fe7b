#![no_main]

include!("../harness/registry.rs");

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| registry(bytes));
