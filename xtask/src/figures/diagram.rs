//! States and what leads from one to another, before anything is drawn.

use vhost_fuzz_core::rule::Rule;

/// A state, at a place chosen by hand.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// Lines of its name.
    pub(super) name: Vec<String>,
    /// What it means, a line below its name; may be empty.
    pub(super) meaning: &'static str,
    /// The requirement that says what it means.
    pub(super) rule: Option<Rule>,
    /// Middle of its box, in pixels to the right and down.
    pub(super) at: (f64, f64),
}

/// What happens, and the requirement that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) name: String,
    pub(super) rule: Rule,
}

impl Event {
    /// As it stands beside an arrow.
    pub(super) fn text(&self) -> String {
        format!("{} {}", self.name, self.rule)
    }
}

/// An arrow from one state to another, with everything that leads along it.
#[derive(Clone, Debug)]
pub(super) struct Arrow {
    /// Indexes of the two states, which differ.
    pub(super) from: usize,
    pub(super) to: usize,
    /// In the order of the table.
    pub(super) events: Vec<Event>,
}

/// A picture of a table.
#[derive(Clone, Debug)]
pub(super) struct Diagram {
    /// A sentence for whoever cannot see the picture.
    pub(super) title: &'static str,
    pub(super) states: Vec<State>,
    /// Where everything begins.
    pub(super) initial: usize,
    pub(super) arrows: Vec<Arrow>,
}

impl Diagram {
    /// A picture without arrows.
    pub(super) const fn new(title: &'static str, states: Vec<State>, initial: usize) -> Self {
        Self { title, states, initial, arrows: Vec::new() }
    }

    /// Adds an event that leads from one state to another. Events between the same two states
    /// share an arrow; what leads nowhere else is left out.
    pub(super) fn lead(&mut self, from: usize, to: usize, event: Event) {
        if from == to {
            return;
        }
        match self.arrows.iter_mut().find(|arrow| (arrow.from, arrow.to) == (from, to)) {
            Some(arrow) => arrow.events.push(event),
            None => self.arrows.push(Arrow { from, to, events: vec![event] }),
        }
    }

    /// Whether an arrow has a counterpart.
    pub(super) fn is_both_ways(&self, arrow: &Arrow) -> bool {
        self.arrows.iter().any(|other| (other.from, other.to) == (arrow.to, arrow.from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_share_an_arrow_and_loops_are_left_out() {
        let event = |name: &str| Event { name: name.to_owned(), rule: Rule::vu(1) };
        let mut diagram = Diagram::new("", Vec::new(), 0);
        diagram.lead(0, 1, event("a"));
        diagram.lead(1, 1, event("loop"));
        diagram.lead(0, 2, event("b"));
        diagram.lead(0, 1, event("c"));
        diagram.lead(1, 0, event("d"));
        let arrows = &diagram.arrows;
        assert_eq!(arrows.len(), 3);
        assert_eq!(arrows[0].events, [event("a"), event("c")]);
        assert_eq!(arrows[1].events, [event("b")]);
        assert_eq!((arrows[2].from, arrows[2].to), (1, 0));
        assert!(diagram.is_both_ways(&arrows[0]) && diagram.is_both_ways(&arrows[2]));
        assert!(!diagram.is_both_ways(&arrows[1]));
    }
}
