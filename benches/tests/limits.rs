//! `icount.toml` has a limit for every operation and keeps the goals of the project. What the
//! operations cost is counted by `cargo xtask icount --check`.

use toml::Table;
use vhost_fuzz_benches::OPERATIONS;

fn limits() -> Table {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/icount.toml");
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_operation_has_a_limit_and_every_limit_an_operation() {
    let limits = limits();
    let mut limited: Vec<_> = limits.keys().map(String::as_str).collect();
    let mut names: Vec<_> = OPERATIONS.iter().map(|operation| operation.name).collect();
    limited.sort_unstable();
    names.sort_unstable();
    assert_eq!(limited, names, "run `cargo xtask icount --update`");
}

#[test]
fn the_goals_of_the_project_stand() {
    let limits = limits();
    for (name, ceiling) in [
        ("decode-set_vring_addr", 80),
        ("decode-set_mem_table-8-regions", 400),
        ("ring-split-walk-direct-16", 60),
        ("ring-split-walk-indirect-16", 60),
        ("ring-split-serve-1", 320),
    ] {
        assert_eq!(limits[name]["ceiling"].as_integer(), Some(ceiling), "{name}");
    }
    for (name, limit) in &limits {
        assert_eq!(limit["allocations"].as_integer(), Some(0), "{name}");
    }
}
