//! Properties of two back-ends on the same messages.

use std::cell::RefCell;

use vhost_fuzz_harness::script::{Record, encode};
use vhost_fuzz_harness::socket::AsItIs;
use vhost_fuzz_harness::target::diff_vhost::{End, Stage, requests};

use vhost_fuzz_proptests::front_end;
use vhost_fuzz_proptests::number;
use vhost_fuzz_proptests::runner::Suite;
use vhost_fuzz_proptests::script::script;

/// A case takes some 100 µs, for the system calls.
const SESSIONS: Suite = Suite { target: "diff_vhost", times: 8 };

fn flat(session: &[Vec<Record<'static>>]) -> Vec<u8> {
    encode(session.iter().flatten())
}

#[test]
fn sessions_that_make_sense() {
    let stage = RefCell::new(Stage::new(AsItIs));
    let accepted = RefCell::new(0_u32);
    SESSIONS.for_all(
        &front_end::session(),
        |session| flat(session),
        |_, input| {
            *accepted.borrow_mut() += u32::from(stage.borrow_mut().check(input).is_accepted);
        },
    );
    assert!(accepted.into_inner() > 100, "most sessions have requests that both take");
}

#[test]
fn arbitrary_scripts() {
    let stage = RefCell::new(Stage::new(AsItIs));
    SESSIONS.for_all(
        &script(),
        |records: &Vec<_>| encode(records),
        |_, input| {
            stage.borrow_mut().check(input);
        },
    );
}

#[test]
fn arbitrary_bytes() {
    let stage = RefCell::new(Stage::new(AsItIs));
    SESSIONS.for_all(&number::bytes(0..=500), Vec::clone, |_, input| {
        stage.borrow_mut().check(input);
    });
}

#[test]
fn a_stage_that_was_used_judges_like_a_new_one() {
    let used = RefCell::new(Stage::new(AsItIs));
    let once = Suite { times: 1, ..SESSIONS };
    let two = (front_end::session(), front_end::session());
    once.for_all(
        &two,
        |(_, second)| flat(second),
        |(first, _), input| {
            used.borrow_mut().check(&flat(first));
            assert_eq!(used.borrow_mut().check(input), Stage::new(AsItIs).check(input));
        },
    );
}

#[test]
fn requests_are_the_messages_of_the_session_with_their_descriptors() {
    SESSIONS.for_all(
        &front_end::session(),
        |session| flat(session),
        |session, input| {
            let mut pending = 0;
            let mut sent = Vec::new();
            for record in session.iter().flatten() {
                match record {
                    Record::Fd { .. } => pending += 1,
                    Record::Message { bytes, .. } => {
                        sent.push((bytes.to_vec(), std::mem::take(&mut pending)));
                    }
                    _ => {}
                }
            }
            // A message that is cut, or longer than it says, takes the next ones with it.
            let whole = |bytes: &[u8]| {
                let size = bytes.get(8..12).and_then(<[u8]>::first_chunk);
                size.is_some_and(|size| u32::from_ne_bytes(*size) as usize + 12 == bytes.len())
            };
            if sent.iter().all(|(bytes, _)| whole(bytes)) {
                let got: Vec<_> = requests(input)
                    .filter(|request| request.end == End::Whole)
                    .map(|request| (request.bytes, request.fds.len()))
                    .collect();
                assert_eq!(got, sent);
            }
        },
    );
}
