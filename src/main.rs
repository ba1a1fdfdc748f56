//! The `callsheet` command. Everything it does is in the library's `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    callsheet::cli::main()
}
