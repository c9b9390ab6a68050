//! `operator crdgen`: the CustomResourceDefinitions as files.

use std::path::PathBuf;

use anyhow::Context;

/// Flags of `operator crdgen`.
#[derive(Debug, clap::Args)]
pub struct CrdgenArgs {
    /// Directory to write into.
    #[arg(default_value = "crds", value_name = "DIR")]
    directory: PathBuf,

    /// Write nothing; fail when a file is not what would be written.
    #[arg(long)]
    check: bool,
}

/// Writes or checks the files.
pub fn run(args: &CrdgenArgs) -> anyhow::Result<()> {
    for (name, text) in api_types::render_crds()? {
        let path = args.directory.join(name);
        if args.check {
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            anyhow::ensure!(
                found == text,
                "{} is out of date: run `operator crdgen {}`",
                path.display(),
                args.directory.display()
            );
        } else {
            std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        }
    }
    Ok(())
}
