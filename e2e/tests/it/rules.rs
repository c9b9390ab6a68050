//! Rules of the project that are checked by looking at the project.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use e2e::lab::repository;
use serde_json::Value;

/// Lines of a source file without its tests, above which it does not fit into a head.
const LONGEST_FILE: usize = 600;
/// Files that are longer, with their length. May only shrink: a file that got shorter has to be
/// entered with its new length, a file that fits has to go.
const LONGER_FILES: &[(&str, usize)] = &[];

/// Which of our crates each of them may import, as the table in ARCHITECTURE.md says.
fn allowed() -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let text = std::fs::read_to_string(repository().join("ARCHITECTURE.md"))?;
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    let quoted = |cell: &str| -> BTreeSet<String> {
        cell.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    let names: BTreeSet<String> = rows.iter().flat_map(|row| quoted(row[0])).collect();
    let mut allowed = BTreeMap::new();
    for row in &rows {
        let [crate_, _, may] = row[..] else {
            anyhow::bail!("a row of other than three cells: {row:?}")
        };
        let crate_ = quoted(crate_).into_iter().next().context("no name")?;
        let others = || {
            names
                .iter()
                .filter(|name| **name != crate_ && *name != "e2e")
                .cloned()
                .collect()
        };
        let may = if may.starts_with("all") {
            others()
        } else {
            quoted(may)
        };
        allowed.insert(crate_, may);
    }
    Ok(allowed)
}

/// Every dependency in our manifests: crate, library, and whether it is for tests only.
fn dependencies() -> anyhow::Result<Vec<(String, String, bool)>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version=1"])
        .current_dir(repository())
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let mut all = Vec::new();
    for package in metadata["packages"].as_array().context("no packages")? {
        let name = package["name"].as_str().context("no name")?;
        for dependency in package["dependencies"]
            .as_array()
            .context("no dependencies")?
        {
            let library = dependency["name"].as_str().context("no name")?;
            all.push((
                name.to_owned(),
                library.to_owned(),
                dependency["kind"] == "dev",
            ));
        }
    }
    Ok(all)
}

#[test]
fn crates_import_only_what_the_table_allows() -> anyhow::Result<()> {
    let allowed = allowed()?;
    ensure!(allowed.len() == 9, "the table has {} crates", allowed.len());
    let mut wrong = Vec::new();
    for (crate_, library, _) in dependencies()? {
        let may = allowed
            .get(&crate_)
            .with_context(|| format!("{crate_} is not in the table"))?;
        if allowed.contains_key(&library) && !may.contains(&library) && library != crate_ {
            wrong.push(format!("{crate_} -> {library}"));
        }
    }
    ensure!(wrong.is_empty(), "against the arrow: {wrong:?}");
    Ok(())
}

/// Libraries that would let somebody around the one who owns the outside, and who may use them.
#[test]
fn each_outside_is_touched_by_its_owner_alone() -> anyhow::Result<()> {
    const OWNERS: &[(&str, &[&str])] = &[
        ("bollard", &["swarm", "e2e"]),
        ("sqlx", &["store", "metrics", "operator", "e2e"]),
        ("axum", &["apiserver", "operator"]),
    ];
    /// What `plan` would need to be anything but pure.
    const IMPURE: &[&str] = &[
        "tokio",
        "futures",
        "tracing",
        "rand",
        "kube",
        "hyper",
        "parking_lot",
    ];
    let mut wrong = Vec::new();
    for (crate_, library, for_tests) in dependencies()? {
        let owned = OWNERS.iter().find(|(name, _)| *name == library);
        let around = owned.is_some_and(|(_, owners)| !owners.contains(&crate_.as_str()));
        let impure = crate_ == "plan" && IMPURE.contains(&library.as_str());
        if !for_tests && (around || impure) {
            wrong.push(format!("{crate_} uses {library}"));
        }
    }
    ensure!(wrong.is_empty(), "{wrong:?}");
    Ok(())
}

#[test]
fn files_fit_into_a_head() -> anyhow::Result<()> {
    let mut lengths = BTreeMap::new();
    for top in ["api-types", "operator", "e2e"] {
        measure(&repository().join(top), &mut lengths)?;
    }
    ensure!(lengths.len() > 50, "only {} files found", lengths.len());
    let known: BTreeMap<&str, usize> = LONGER_FILES.iter().copied().collect();
    let mut wrong = Vec::new();
    for (file, length) in &lengths {
        match known.get(file.as_str()) {
            None if *length > LONGEST_FILE => wrong.push(format!("{file} has {length} lines")),
            Some(entered) if length != entered => {
                wrong.push(format!("{file} has {length} lines, {entered} are entered"))
            }
            _ => {}
        }
    }
    wrong.extend(
        known
            .keys()
            .filter(|file| !lengths.contains_key(**file))
            .map(|file| format!("{file} is gone")),
    );
    ensure!(wrong.is_empty(), "split them: {wrong:#?}");
    Ok(())
}

/// Lines of every Rust file below that is not for tests, without the tests at its end.
fn measure(directory: &Path, lengths: &mut BTreeMap<String, usize>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.file_stem().is_some_and(|name| name == "tests") {
            continue;
        }
        if path.is_dir() {
            measure(&path, lengths)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path)?;
            let code = text
                .lines()
                .take_while(|line| !line.starts_with("#[cfg(test)]"))
                .count();
            let name = path
                .strip_prefix(repository())?
                .to_string_lossy()
                .into_owned();
            lengths.insert(name, code);
        }
    }
    Ok(())
}

#[test]
fn one_tls_library() -> anyhow::Result<()> {
    let lock = std::fs::read_to_string(repository().join("Cargo.lock"))?;
    for name in ["aws-lc-rs", "openssl", "native-tls"] {
        ensure!(
            !lock.contains(&format!("name = \"{name}\"\n")),
            "{name} came in: ring is what everything uses"
        );
    }
    Ok(())
}
