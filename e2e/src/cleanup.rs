//! Takes down what a process started, however the process ends.
//!
//! Values in statics are never dropped and a killed process drops nothing. So every started thing
//! leaves a one-line shell script in a directory of this process, and a shell that outlives the
//! process runs what is left there once the process is gone.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;

static SCRATCH: Mutex<Option<PathBuf>> = Mutex::new(None);
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A directory of this process, gone after it. Everybody may enter it (Postgres runs as another
/// account).
pub fn scratch() -> anyhow::Result<PathBuf> {
    let mut made = SCRATCH.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = made.as_ref() {
        return Ok(path.clone());
    }
    let path = std::env::temp_dir().join(format!("e2e-{}", std::process::id()));
    std::fs::create_dir_all(path.join("cleanup"))
        .with_context(|| format!("create {}", path.display()))?;
    reap_after_this_process(&path)?;
    *made = Some(path.clone());
    Ok(path)
}

/// A number that no other caller in this process gets.
pub fn unique() -> u32 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn reap_after_this_process(scratch: &Path) -> anyhow::Result<()> {
    const REAPER: &str = r#"
        tail --pid="$1" -f /dev/null
        for script in $(ls -r "$2/cleanup"); do sh "$2/cleanup/$script"; done
        rm -rf "$2""#;
    Command::new("setsid")
        .args(["--fork", "sh", "-c", REAPER, "reaper"])
        .arg(std::process::id().to_string())
        .arg(scratch)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("start the process that cleans up after this one")?;
    Ok(())
}

/// A shell script that runs once: when this is dropped, or after the end of the process.
#[derive(Debug)]
pub struct Cleanup {
    file: PathBuf,
}

impl Cleanup {
    /// Registers `script`. It must do no harm when what it takes down is already gone.
    pub fn register(script: &str) -> anyhow::Result<Self> {
        let file = scratch()?
            .join("cleanup")
            .join(format!("{:06}.sh", unique()));
        std::fs::write(&file, script).with_context(|| format!("write {}", file.display()))?;
        Ok(Self { file })
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        let output = Command::new("sh")
            .arg(&self.file)
            .stdin(Stdio::null())
            .output();
        if let Ok(output) = output
            && !output.status.success()
        {
            eprintln!("cleaning up: {}", String::from_utf8_lossy(&output.stderr));
        }
        drop(std::fs::remove_file(&self.file));
    }
}
