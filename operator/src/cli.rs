//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{DatabaseArgs, LogArgs, RunArgs};

/// A Kubernetes-compatible control plane for Docker Swarm.
#[derive(Debug, Parser)]
#[command(name = "operator", version, propagate_version = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the control plane in the foreground: API server, controllers, or both.
    Run(Box<RunArgs>),
    /// Bring the database schema up to date and exit.
    Migrate(DatabaseArgs),
    /// Write the CustomResourceDefinitions of our kinds as YAML.
    Crdgen(crate::crdgen::CrdgenArgs),
}

/// Parses the command line, runs the command and maps its end to an exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.command {
        Command::Run(args) => {
            crate::telemetry::init(&args.log);
            block_on(crate::wiring::run(*args))
        }
        Command::Migrate(args) => {
            crate::telemetry::init(&LogArgs::default());
            block_on(crate::wiring::migrate(args))
        }
        Command::Crdgen(args) => crate::crdgen::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
