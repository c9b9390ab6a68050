//! The binary from the outside, where nothing needs to run for it.

use std::path::Path;
use std::process::{Command, Output};

fn operator(args: &[&str]) -> std::io::Result<Output> {
    Command::new(env!("CARGO_BIN_EXE_operator"))
        .args(args)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .output()
}

#[test]
fn the_generated_files_are_up_to_date() -> std::io::Result<()> {
    let output = operator(&["crdgen", "--check", "crds"])?;
    assert!(
        output.status.success(),
        "run `make generate`: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[test]
fn a_wrong_command_line_is_explained() -> std::io::Result<()> {
    let output = operator(&["run", "--docker-host", "ssh://box"])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("unix:///var/run/docker.sock"),
        "{said}"
    );
    Ok(())
}
