//! The page that shows both pictures, with their tables in Markdown.

use std::fmt::Write as _;

use vhost_fuzz_core::rule::Rule;
use vhost_fuzz_core::session::postcopy::{self, Step};
use vhost_fuzz_core::session::{Change, State, TRANSITIONS};

use super::tables::{postcopy_meaning, service, step_name, step_rule};

const HEADER: &str = "\
# States and transitions

Written by `cargo xtask figures` from the tables in `core`; do not edit. The session runs these
tables (`core/src/session/ring/state.rs`, `core/src/session/postcopy.rs`), and
`harness/tests/session/transitions.rs` walks every row from every state. The rules are in
[vhost-user.md](vhost-user.md) §7.
";

const RING_NOTE: &str = "
A dash keeps the flag as it is. `GET_VRING_BASE` stands for `GET_VRING_BASE_SKIP_DRAIN` as well
(VU-067), and `SET_VRING_KICK` starts a ring with a descriptor or without.

";

const POSTCOPY_NOTE: &str = "
What has no row is refused: by VU-133 a table where an acknowledgement is due, by VU-175 any
other. The table that acknowledges is empty or a u64 of 0; where none is due it is no legal
message (VU-129). While postcopy is off or advised, `SET_MEM_TABLE` with regions is no step of
it. The end of the connection ends postcopy.

";

/// The whole page.
pub(super) fn page() -> String {
    let mut text = String::from(HEADER);
    text.push_str("\n## Rings (§6.5)\n\n![The states of a ring](figures/ring-states.svg)\n\n");
    ring_states(&mut text);
    ring_events(&mut text);
    ring_loops(&mut text);
    text.push_str("\n## Postcopy (§6.10)\n\n![The steps of postcopy](figures/postcopy.svg)\n\n");
    postcopy_rows(&mut text);
    postcopy_states(&mut text);
    text
}

/// What a back-end does in each state.
fn ring_states(text: &mut String) {
    text.push_str("| State | A back-end's view of the ring | Rule |\n|---|---|---|\n");
    for state in State::ALL {
        let (meaning, rule) = service(state);
        row(text, &[&state.to_string(), meaning, &rule.to_string()]);
    }
}

/// The table itself.
fn ring_events(text: &mut String) {
    text.push_str(RING_NOTE);
    text.push_str("| Event | started | enabled | Rule |\n|---|---|---|---|\n");
    for transition in TRANSITIONS {
        let name = format!("`{}`", transition.name);
        let (started, enabled) = (change(transition.started), change(transition.enabled));
        row(text, &[&name, started, enabled, &Rule::vu(transition.rule).to_string()]);
    }
}

const fn change(change: Change) -> &'static str {
    match change {
        Change::Keep => "–",
        Change::Set => "1",
        Change::Clear => "0",
    }
}

/// What the picture leaves out.
fn ring_loops(text: &mut String) {
    text.push_str(
        "\nThese events leave a state as it is, so the picture has no arrow for them:\n\n",
    );
    text.push_str("| State | Events |\n|---|---|\n");
    for state in State::ALL {
        let loops = TRANSITIONS.iter().filter(|row| state.after(row.event) == state);
        let names: Vec<_> = loops.map(|row| format!("`{}`", row.name)).collect();
        row(text, &[&state.to_string(), &names.join(", ")]);
    }
}

/// The table itself.
fn postcopy_rows(text: &mut String) {
    text.push_str("| From | Message | To | Rule |\n|---|---|---|---|\n");
    for postcopy::Transition { from, step, to } in postcopy::TRANSITIONS {
        let name = format!("`{}`", step_name(step));
        row(text, &[&from.to_string(), &name, &to.to_string(), &step_rule(step).to_string()]);
    }
}

/// What holds in each state, and what it refuses.
fn postcopy_states(text: &mut String) {
    text.push_str(POSTCOPY_NOTE);
    text.push_str("| State | Guest memory | Refused |\n|---|---|---|\n");
    for state in postcopy::State::ALL {
        let meaning = match postcopy_meaning(state) {
            (meaning, Some(rule)) => format!("{meaning} ({rule})"),
            (meaning, None) => meaning.to_owned(),
        };
        let refused = Step::ALL.into_iter().filter(|step| is_refused(state, *step));
        let names: Vec<_> = refused.map(|step| format!("`{}`", step_name(step))).collect();
        row(text, &[&state.to_string(), &meaning, &names.join(", ")]);
    }
}

/// Whether a step without a row is refused. A table outside of postcopy is an ordinary one, and
/// an empty one is no legal message there.
fn is_refused(state: postcopy::State, step: Step) -> bool {
    let is_ordinary = matches!(state, postcopy::State::Off | postcopy::State::Advised);
    state.after(step).is_none() && !(is_ordinary && step == Step::Table)
}

/// One row of a table.
fn row(text: &mut String, cells: &[&str]) {
    for cell in cells {
        // Writing to a string cannot fail.
        let _ = if cell.is_empty() { write!(text, "| ") } else { write!(text, "| {cell} ") };
    }
    text.push_str("|\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_both_tables_is_on_the_page() {
        let page = page();
        for row in TRANSITIONS {
            let start = format!("| `{}` | ", row.name);
            let line = page.lines().find(|line| line.starts_with(&start)).unwrap();
            assert!(line.ends_with(&format!(" | {} |", Rule::vu(row.rule))), "{line}");
        }
        for row in postcopy::TRANSITIONS {
            let line = format!("| {} | `{}` | {} | ", row.from, step_name(row.step), row.to);
            assert!(page.contains(&line), "{line}");
        }
    }

    #[test]
    fn rows_have_as_many_cells_as_their_heading() {
        let page = page();
        let mut columns = None;
        for line in page.lines() {
            let cells = line.matches('|').count();
            if !line.starts_with('|') {
                columns = None;
            } else {
                assert_eq!(*columns.get_or_insert(cells), cells, "{line}");
            }
        }
    }
}
