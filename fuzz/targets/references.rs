#![no_main]

include!("../harness/references.rs");

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| references(bytes));
