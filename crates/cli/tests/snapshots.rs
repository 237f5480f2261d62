//! What the command line prints: help, usage errors and reports. `TRYCMD=overwrite cargo test`
//! renews the expectations.

#[test]
fn command_line() {
    trycmd::TestCases::new()
        .case("tests/cmd/*.trycmd")
        .default_bin_name("ldrop")
        .env("COLUMNS", "100");
}
