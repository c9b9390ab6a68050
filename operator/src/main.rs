//! The operator binary: see `operator --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    operator::cli::main()
}
