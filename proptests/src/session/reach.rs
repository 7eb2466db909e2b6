//! What the scripts of a session reach. Each test draws a fixed number of scripts from a fixed
//! seed and fails when one of the things that it names never happened.

use std::collections::{BTreeSet, VecDeque};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use vhost_fuzz_core::session::{State, postcopy};
use vhost_fuzz_core::vhost_user::request::FRONTEND;
use vhost_fuzz_harness::script::Record;
use vhost_fuzz_harness::session::offer::ScriptOffer;

use super::driver::{Answer, Driver, EFFECTS};
use super::script::{legal, records, script};

/// Scripts of each test. A run of the properties has about as many.
const CASES: usize = 2000;

/// What happened, by name.
#[derive(Debug, Default)]
struct Reached {
    names: BTreeSet<String>,
    messages: usize,
    accepted: usize,
}

impl Reached {
    fn add(&mut self, name: impl Into<String>) {
        self.names.insert(name.into());
    }

    /// Plays a script, and notes what happens and what the session believes after each record.
    fn play(&mut self, script: Vec<Record<'static>>) {
        let mut driver = Driver::new(&ScriptOffer::of_script(&script));
        let mut rest = VecDeque::from(script);
        while let Some(record) = rest.pop_front() {
            driver.record(&record, &mut rest);
            let session = driver.session();
            self.add(format!("{:?}", session.postcopy()));
            for ring in session.rings() {
                self.add(format!("ring {}, {:?}", ring.state(), ring.state().service()));
            }
            self.add(if session.is_suspended() { "suspended" } else { "running" });
        }
        for (code, answer) in driver.answers() {
            self.add(match answer {
                answer if answer.is_accepted() => format!("request {code} accepted"),
                Answer::Closed(None) => "no message".to_owned(),
                _ => format!("request {code} refused"),
            });
            if let Answer::Closed(Some(_)) = answer {
                self.add("a refusal that ends the connection");
            }
            self.messages += 1;
            self.accepted += usize::from(answer.is_accepted());
        }
        for (effect, is_ok) in driver.effects() {
            self.add(format!("{effect} {}", if *is_ok { "done" } else { "failed" }));
        }
        if driver.overtaking() > 0 {
            self.add("a translation while a ring is drained");
        }
    }

    fn assert(&self, wanted: impl IntoIterator<Item = String>) {
        let missed: Vec<_> =
            wanted.into_iter().filter(|wanted| !self.names.contains(wanted)).collect();
        assert!(missed.is_empty(), "never happened in {CASES} scripts: {missed:?}");
    }
}

fn play_all(strategy: impl Strategy<Value = Vec<Record<'static>>>) -> Reached {
    let mut runner = TestRunner::deterministic();
    let mut reached = Reached::default();
    for _ in 0..CASES {
        reached.play(strategy.new_tree(&mut runner).expect("every case can be drawn").current());
    }
    reached
}

/// What both kinds of scripts have to reach.
fn wanted() -> Vec<String> {
    let accepted = FRONTEND.iter().map(|row| format!("request {} accepted", row.code));
    let effects = EFFECTS.iter().map(|effect| format!("{effect} done"));
    let rings = State::ALL.map(|state| format!("ring {state}, {:?}", state.service()));
    let postcopy = postcopy::State::ALL.map(|state| format!("{state:?}"));
    let others = ["suspended", "running", "a translation while a ring is drained"];
    accepted.chain(effects).chain(rings).chain(postcopy).chain(others.map(Into::into)).collect()
}

#[test]
fn legal_scripts_reach_every_request_every_effect_and_every_state() {
    let reached = play_all(legal().prop_map(|story| records(&story).concat()));
    reached.assert(wanted());
    assert_eq!(reached.accepted, reached.messages);
    // What a careful front-end leaves out is not much.
    assert!(reached.messages / CASES >= 10, "{} messages", reached.messages);
}

#[test]
fn scripts_reach_every_request_every_effect_and_every_failure() {
    let reached = play_all(script());
    reached.assert(wanted());
    reached.assert(EFFECTS.iter().map(|effect| format!("{effect} failed")));
    // GET_FEATURES is refused as well, when it has a payload; so every id can be.
    reached.assert(FRONTEND.iter().map(|row| format!("request {} refused", row.code)));
    reached.assert(["no message", "a refusal that ends the connection"].map(Into::into));
    let share = reached.accepted * 100 / reached.messages;
    assert!((50..=90).contains(&share), "{share}% of the messages are accepted");
}
