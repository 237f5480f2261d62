//! Snapshots of the output: help, usage errors and reports.
//! `TRYCMD=overwrite cargo test -p learned-dropout-cli --test snapshots` renews them.

#[test]
fn command_line() {
    trycmd::TestCases::new()
        .case("tests/cmd/*.trycmd")
        .default_bin_name("ldrop")
        .env("COLUMNS", "100");
}
