//! The program `tandem`; everything it does is in the library.

fn main() -> std::process::ExitCode {
    tandem::cli::main()
}
