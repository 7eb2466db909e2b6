//! The pictures of the two tables, and what the tables leave to the reader: which requirement
//! stands behind a state or a step.

use vhost_fuzz_core::rule::Rule;
use vhost_fuzz_core::session::postcopy::{self, Step};
use vhost_fuzz_core::session::{self as ring, Service};

use super::diagram::{Diagram, Event, State};

/// Most characters of a line in a box.
const BOX_CHARACTERS: usize = 18;

/// The flags of a ring (spec §6.5).
pub(super) fn rings() -> Diagram {
    let states = ring::State::ALL.map(|state| {
        let (meaning, rule) = service(state);
        // Disabled left, enabled right; stopped above, started below.
        let x = if state.enabled { 740.0 } else { 220.0 };
        let y = if state.started { 410.0 } else { 120.0 };
        State { name: lines(&state.to_string()), meaning, rule: Some(rule), at: (x, y) }
    });
    let title = "The states of a ring and what leads from one to another";
    let mut diagram = Diagram::new(title, states.into(), ring_index(ring::State::INITIAL));
    for from in ring::State::ALL {
        for row in ring::TRANSITIONS {
            let event = Event { name: row.name.to_owned(), rule: Rule::vu(row.rule) };
            diagram.lead(ring_index(from), ring_index(from.after(row.event)), event);
        }
    }
    diagram
}

/// Where a state of a ring is in [`ring::State::ALL`].
fn ring_index(state: ring::State) -> usize {
    usize::from(state.started) * 2 + usize::from(state.enabled)
}

/// What a back-end does with a ring, and the requirement.
pub(super) fn service(state: ring::State) -> (&'static str, Rule) {
    match state.service() {
        Service::Idle => ("not touched", Rule::vu(59)),
        Service::Discard => ("no side effects", Rule::vu(61)),
        Service::Serve => ("processed", Rule::vu(64)),
    }
}

/// Postcopy (spec §6.10).
pub(super) fn postcopy() -> Diagram {
    let states = postcopy::State::ALL.map(|state| {
        let (meaning, rule) = postcopy_meaning(state);
        // In a circle from the left, so that no arrow crosses another.
        let at = match state {
            postcopy::State::Off => (120.0, 190.0),
            postcopy::State::Advised => (390.0, 60.0),
            postcopy::State::Listening => (660.0, 190.0),
            postcopy::State::TableSent => (660.0, 350.0),
            postcopy::State::Active => (120.0, 350.0),
        };
        State { name: lines(&state.to_string()), meaning, rule, at }
    });
    let title = "The steps of a postcopy migration on its destination";
    let initial = postcopy_index(postcopy::State::default());
    let mut diagram = Diagram::new(title, states.into(), initial);
    for row in postcopy::TRANSITIONS {
        let event = Event { name: step_name(row.step), rule: step_rule(row.step) };
        diagram.lead(postcopy_index(row.from), postcopy_index(row.to), event);
    }
    diagram
}

/// Where a state is in [`postcopy::State::ALL`].
const fn postcopy_index(state: postcopy::State) -> usize {
    state as usize
}

/// What a back-end does with guest memory, and the requirement if there is one.
pub(super) const fn postcopy_meaning(state: postcopy::State) -> (&'static str, Option<Rule>) {
    match state {
        postcopy::State::TableSent => ("memory not touched", Some(Rule::vu(131))),
        postcopy::State::Active => ("memory registered", Some(Rule::vu(176))),
        _ => ("", None),
    }
}

/// How people call a step.
pub(super) fn step_name(step: Step) -> String {
    match step {
        Step::Acknowledge => "SET_MEM_TABLE without regions".to_owned(),
        _ => step.request().row().map_or("unknown", |row| row.name).to_owned(),
    }
}

/// What a step demands of the back-end or the front-end.
pub(super) const fn step_rule(step: Step) -> Rule {
    match step {
        Step::Advise => Rule::vu(174),
        Step::Listen => Rule::vu(175),
        Step::Table => Rule::vu(130),
        Step::Acknowledge => Rule::vu(133),
        Step::End => Rule::vu(177),
    }
}

/// Breaks a name into lines that fit into a box.
fn lines(name: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in name.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= BOX_CHARACTERS => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_the_place_in_the_list() {
        for (at, state) in ring::State::ALL.into_iter().enumerate() {
            assert_eq!(ring_index(state), at);
        }
        for (at, state) in postcopy::State::ALL.into_iter().enumerate() {
            assert_eq!(postcopy_index(state), at);
        }
    }

    #[test]
    fn every_row_is_drawn_unless_it_is_a_loop() {
        let drawn = |diagram: &Diagram| {
            diagram.arrows.iter().map(|arrow| arrow.events.len()).sum::<usize>()
        };
        let moves = ring::State::ALL
            .iter()
            .flat_map(|from| ring::TRANSITIONS.map(|row| from.after(row.event) != *from))
            .filter(|is_move| *is_move);
        assert_eq!(drawn(&rings()), moves.count());
        let moves = postcopy::TRANSITIONS.iter().filter(|row| row.from != row.to);
        assert_eq!(drawn(&postcopy()), moves.count());
    }

    #[test]
    fn long_names_are_broken_between_words() {
        assert_eq!(lines("started, enabled"), ["started, enabled"]);
        assert_eq!(lines("waiting for an acknowledgement"), ["waiting for an", "acknowledgement"]);
        assert_eq!(lines("off"), ["off"]);
    }
}
