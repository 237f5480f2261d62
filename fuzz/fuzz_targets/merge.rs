#![no_main]

libfuzzer_sys::fuzz_target!(init: fuzz_targets::panics::allow_caught(), |bytes: &[u8]| {
    fuzz_targets::merge::run(bytes);
});
