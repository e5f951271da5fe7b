#![no_main]

include!("../harness/documents.rs");

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| documents(bytes));
