//! Conversations of a session: what real front-ends say, each feature at work, each way to be
//! refused, and the hostile inputs of spec §9.

mod devices;
mod effects;
mod frontends;
mod hazards;
mod memory;
mod migration;
mod rings;
mod talk;

use vhost_fuzz_harness::corpus::Seed;

use super::seed;
use talk::Talk;

/// What comes out of a conversation in which nothing is refused.
const OK: &str = "accept";

/// What a failing effect breaks: it is reported as a failure.
const FAILED: &str = "VU-033";

/// Every seed of this module.
pub(super) fn seeds() -> Vec<Seed> {
    [
        frontends::seeds(),
        rings::seeds(),
        memory::seeds(),
        devices::seeds(),
        migration::seeds(),
        effects::seeds(),
        hazards::seeds(),
    ]
    .concat()
}

/// A conversation as a seed.
fn of(name: &str, expect: &str, shows: &str, talk: Talk) -> Seed {
    seed(name, expect, shows, talk.close())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, VecDeque};

    use vhost_fuzz_core::vhost_user::Kind;
    use vhost_fuzz_harness::script::{self, Record};
    use vhost_fuzz_harness::session::back_end::Core;
    use vhost_fuzz_harness::session::offer::ScriptOffer;
    use vhost_fuzz_harness::target::session;
    use vhost_fuzz_model::session::Step;

    use super::*;
    use crate::corpus::judge::{BackEnd, judge};

    #[test]
    fn every_conversation_comes_out_as_it_says() {
        let mut wrong = Vec::new();
        for seed in seeds() {
            let verdict = judge("session", &seed.bytes).expect("a model").verdict;
            if verdict != seed.entry.expect {
                wrong.push(format!("{}: {verdict}, not {}", seed.name, seed.entry.expect));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// The replies in a script are those that its device gives, except where a wrong one is what
    /// the script is there for. Contents of the configuration space are not compared.
    #[test]
    fn replies_are_those_of_the_back_end() {
        let mut wrong = Vec::new();
        for seed in seeds().iter().filter(|seed| !seed.name.starts_with("hz-101-reply")) {
            if let Err(error) = compare_replies(&seed.bytes) {
                wrong.push(format!("{}: {error}", seed.name));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    fn compare_replies(script: &[u8]) -> Result<(), String> {
        let records = script::decode(script);
        let mut back_end = BackEnd::new(&ScriptOffer::of_script(&records));
        let mut due = VecDeque::new();
        let mut fds = 0;
        for (number, record) in records.iter().enumerate() {
            let heard = back_end.record(record, records.get(number + 1));
            for answer in heard.answers {
                if let Step::Reply { bytes, fds, .. } = answer.step {
                    due.push_back((bytes, fds));
                }
            }
            match record {
                Record::Fd { .. } => fds += 1,
                Record::Message { kind, bytes } => {
                    let fds = std::mem::take(&mut fds);
                    if *kind == Kind::BACKEND_REPLY {
                        let expected = due.pop_front();
                        let is_config = bytes[0] == 24 && bytes.len() > 12;
                        let is_same = expected.as_ref().is_some_and(|(expected, count)| {
                            let len = if is_config { 24 } else { expected.len() };
                            *count == fds
                                && expected.len() == bytes.len()
                                && expected[..len] == bytes[..len]
                        });
                        if !is_same {
                            return Err(format!("{number}: {bytes:?} {fds}, not {expected:?}"));
                        }
                    }
                }
                Record::Close | Record::Reconnect if !due.is_empty() => {
                    return Err(format!("{number}: {due:?} is missing"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The code takes the same messages as the model did here, and says the same of them.
    #[test]
    fn the_code_hears_the_same() {
        for seed in seeds() {
            println!("{}", seed.name);
            let outcome = session::check::<Core>(&seed.bytes);
            let first = outcome.refusals.first().map(|(_, rule)| rule.to_string());
            assert_eq!(first.unwrap_or_else(|| OK.to_owned()), seed.entry.expect, "{}", seed.name);
        }
    }

    #[test]
    fn conversations_are_long_and_no_two_are_equal() {
        let seeds = seeds();
        let messages: usize =
            seeds.iter().map(|seed| session::check::<Core>(&seed.bytes).messages).sum();
        assert!(messages >= 15 * seeds.len(), "{messages} messages in {} seeds", seeds.len());
        let different: BTreeSet<_> = seeds.iter().map(|seed| &seed.bytes).collect();
        assert_eq!(different.len(), seeds.len());
        assert!(seeds.iter().all(|seed| script::decode(&seed.bytes).len() > 1));
    }
}
