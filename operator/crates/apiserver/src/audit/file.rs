//! The audit log's file: lines in batches, a new file when it is full, old files up to a bound.
//!
//! The rotation is our own few lines: what there is as a library keeps old files by number or by
//! age, not by both, and buffers in a way that a full disk leaves half a line behind.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;

use super::{AuditConfig, Counts, Entry};

/// Lines are written together up to so many bytes.
const BATCH: usize = 64 * 1024;

/// Where lines go.
pub(super) enum Output {
    Stdout,
    File {
        config: AuditConfig,
        file: File,
        size: u64,
    },
}

impl Output {
    pub(super) fn open(config: &AuditConfig) -> io::Result<Self> {
        if config.path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        if let Some(directory) = config.path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let file = open(&config.path)?;
        let size = file.metadata()?.len();
        Ok(Self::File {
            config: config.clone(),
            file,
            size,
        })
    }

    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let Self::File { config, file, size } = self else {
            return io::stdout().lock().write_all(lines);
        };
        let added = lines.len() as u64;
        if config.max_size > 0 && *size > 0 && *size + added > config.max_size {
            *file = rotate(config)?;
            *size = 0;
        }
        file.write_all(lines).inspect_err(|_| {
            // Not half a line; what is no real file cannot be cut.
            let _ = file.set_len(*size);
        })?;
        *size += added;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(path)
}

/// Puts the file aside under the time of now, and begins a new one.
fn rotate(config: &AuditConfig) -> io::Result<File> {
    let (stem, extension) = name_parts(&config.path);
    let time = Timestamp::now().strftime("%Y-%m-%dT%H-%M-%S.%6fZ");
    std::fs::rename(
        &config.path,
        config
            .path
            .with_file_name(format!("{stem}-{time}{extension}")),
    )?;
    let file = open(&config.path)?;
    if let Err(error) = prune(config) {
        tracing::warn!(%error, "old audit logs were not removed");
    }
    Ok(file)
}

/// Removes what is too many or too old.
fn prune(config: &AuditConfig) -> io::Result<()> {
    let mut old = backups(&config.path)?;
    // Their names are their times.
    old.sort_unstable_by(|one, other| other.cmp(one));
    let now = SystemTime::now();
    for (index, path) in old.iter().enumerate() {
        let age = now
            .duration_since(path.metadata()?.modified()?)
            .unwrap_or_default();
        let many = config.max_backups > 0 && index >= config.max_backups;
        if many || !config.max_age.is_zero() && age > config.max_age {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn backups(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (stem, extension) = name_parts(path);
    let directory = path
        .parent()
        .filter(|path| *path != Path::new(""))
        .unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for file in std::fs::read_dir(directory)? {
        let file = file?;
        let name = file.file_name();
        let time = name.to_str().and_then(|name| {
            name.strip_prefix(&stem)?
                .strip_prefix('-')?
                .strip_suffix(&extension)
        });
        // `2026-11-21T13-33-27.123456Z`
        if time.is_some_and(|time| time.len() == 27 && time.ends_with('Z')) {
            found.push(file.path());
        }
    }
    Ok(found)
}

/// `audit`, `.log`
fn name_parts(path: &Path) -> (String, String) {
    let text =
        |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
    let extension = path
        .extension()
        .map(|extension| format!(".{}", extension.to_string_lossy()));
    (text(path.file_stem()), extension.unwrap_or_default())
}

/// Gathers lines and writes them.
pub(super) struct Sink {
    output: Output,
    counts: Counts,
    lines: Vec<u8>,
    count: u64,
}

impl Sink {
    pub(super) fn new(output: Output, counts: Counts) -> Self {
        Self {
            output,
            counts,
            lines: Vec::with_capacity(BATCH),
            count: 0,
        }
    }

    pub(super) fn add(&mut self, entry: &Entry) {
        let before = self.lines.len();
        if let Err(error) = serde_json::to_writer(&mut self.lines, &entry.event()) {
            self.lines.truncate(before);
            return self.counts.lose(1, &error.to_string());
        }
        self.lines.push(b'\n');
        self.count += 1;
        if self.lines.len() >= BATCH {
            self.flush();
        }
    }

    pub(super) fn flush(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        match self.output.write(&self.lines) {
            Ok(()) => {
                self.counts.events.inc_by(self.count);
            }
            Err(error) => self.counts.lose(self.count, &error.to_string()),
        }
        self.lines.clear();
        self.count = 0;
    }
}
