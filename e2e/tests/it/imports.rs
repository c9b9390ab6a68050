//! The one arrow: who may import whom, as the table in ARCHITECTURE.md says.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context as _, ensure};
use e2e::lab::repository;
use serde_json::Value;

/// Which of our crates each of them may import, as the table in ARCHITECTURE.md says.
fn allowed() -> anyhow::Result<BTreeMap<String, BTreeSet<String>>> {
    let text = std::fs::read_to_string(repository().join("ARCHITECTURE.md"))?;
    let rows: Vec<Vec<&str>> = text
        .lines()
        .skip_while(|line| !line.starts_with("| crate |"))
        .skip(2)
        .take_while(|line| line.starts_with('|'))
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
    ensure!(
        allowed.len() == 10,
        "the table has {} crates",
        allowed.len()
    );
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
