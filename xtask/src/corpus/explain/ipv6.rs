//! Explains inputs of the targets about IPv6: each frame, and what is answered.

use std::fmt::Write as _;

use vhost_fuzz_harness::ipv6::{Expected, PARTIAL, records};

use super::{dump, row};

/// Writes each frame of an input and the reply to it.
pub(super) fn explain<E: Expected>(text: &mut String, input: &[u8]) {
    let Some((&setup, rest)) = input.split_first() else {
        let _ = writeln!(text, "no byte that chooses a gateway");
        return;
    };
    row(text, 0, 1, "gateway", &format!("{setup:#010b}"));
    let mut model = E::open(setup);
    let (mut now, mut at) = (0, 1);
    for (delay, frame) in records(rest) {
        now += delay;
        row(text, at, 3, "frame", &format!("{} bytes, at {now} ms", frame.len()));
        dump(text, at + 3, "bytes", frame);
        at += 3 + frame.len();
        match model.answer(frame, setup & PARTIAL != 0, now) {
            Ok(Some(reply)) => {
                let _ = writeln!(text, "         answered with {} bytes", reply.len());
                dump(text, 0, "reply", &reply);
            }
            Ok(None) => {
                let _ = writeln!(text, "         not answered");
            }
            Err(rule) => {
                let _ = writeln!(text, "         refused: it breaks {rule}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vhost_fuzz_harness::corpus::seeds;
    use vhost_fuzz_model::net::ndp::Gateway;

    #[test]
    fn every_seed_is_explained_with_its_verdict() {
        let mut whole = String::new();
        for seed in seeds("ndp").expect("a corpus") {
            let mut text = String::new();
            explain::<Gateway>(&mut text, &seed.bytes);
            if seed.entry.expect != "accept" {
                let breaks = format!("breaks {}", seed.entry.expect);
                assert!(text.contains(&breaks), "{}: {text}", seed.name);
            }
            whole += &text;
        }
        for words in ["gateway", "answered with 86 bytes", "not answered", "refused: ", "reply"] {
            assert!(whole.contains(words), "{words}");
        }
    }
}
