//! The process around the proxy: command line, listeners, admin, settings, telemetry, reload and shutdown.
//!
//! [`main`] reads the command line; each command is one file of `commands`. [`server::Server`] is a running server,
//! which tests start in their own process too: there is no global state but the log of the process.

mod admin;
mod cli;
mod commands;
mod demo;
mod failure;
mod htcp;
pub mod listener;
mod output;
pub mod reload;
pub mod server;
pub mod settings;
mod signals;
pub mod telemetry;

use std::panic;
use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use failure::Failure;

/// Does what the command line says. The exit status: 0 done, 1 the thing failed, 2 the command line or a file is wrong.
#[must_use]
pub fn main() -> ExitCode {
    panic::set_hook(Box::new(output::report_panic));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Where neither output can be written there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    // The hook has said what there is to say.
    let result = panic::catch_unwind(|| command(cli.command)).unwrap_or(Err(Failure::reported()));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::report(&failure);
            failure.status()
        }
    }
}

fn command(command: Command) -> Result<(), Failure> {
    match command {
        Command::Run(arguments) => commands::run::run(arguments),
        Command::Demo(arguments) => commands::demo::run(arguments),
        Command::Check(arguments) => commands::check::run(&arguments),
        Command::Explain(arguments) => commands::explain::run(&arguments),
        Command::Esi(arguments) => commands::esi::run(&arguments),
        Command::Test(arguments) => commands::test::run(&arguments),
        Command::Policy(arguments) => commands::policy::run(&arguments),
        Command::Purge(arguments) => commands::purge::run(*arguments),
        Command::Origins(arguments) => commands::origins::run(&arguments),
    }
}
