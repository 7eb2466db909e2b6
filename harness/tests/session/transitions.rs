//! The tables of the session, against matrices that were written by hand from spec §6.5 and
//! §6.10. `cargo xtask figures` draws the same tables.

use std::collections::BTreeSet;

use vhost_fuzz_core::session::postcopy::{self, Step};
use vhost_fuzz_core::session::{
    Change, Done, Effect, Event, Offer, Refusal, Service, Session, State, Step as Asks, TRANSITIONS,
};
use vhost_fuzz_core::vhost_user::features::{protocol, virtio};
use vhost_fuzz_core::vhost_user::{DecodeError, Frame, FrontendRequest as R, Kind};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::evidence::shows;

const SPEC: &str = include_str!("../../../spec/vhost-user.md");

/// What each event makes of the four states, by their place in `State::ALL`: both flags off,
/// only enabled, only started, both.
const RINGS: [(Event, [usize; 4]); 10] = [
    (Event::Connect, [0, 0, 0, 0]),
    (Event::PlainFeatures, [1, 1, 3, 3]),
    (Event::ProtocolFeatures, [0, 1, 2, 3]),
    (Event::SetKick, [2, 3, 2, 3]),
    (Event::KickMessage, [2, 3, 2, 3]),
    (Event::GetBase, [0, 1, 0, 1]),
    (Event::Enable, [1, 1, 3, 3]),
    (Event::Disable, [0, 0, 2, 2]),
    (Event::ResetOwner, [0, 0, 2, 2]),
    (Event::ResetDevice, [0, 0, 0, 0]),
];

/// Words of the requirement that each event cites.
const WORDS: [(Event, &[&str]); 10] = [
    (Event::Connect, &["Every ring", "start of a connection"]),
    (Event::PlainFeatures, &["SET_FEATURES without bit 30", "all rings"]),
    (Event::ProtocolFeatures, &["SET_FEATURES with bit 30", "every ring", "as it was"]),
    (Event::SetKick, &["SET_VRING_KICK", "the ring"]),
    (Event::KickMessage, &["| VRING_KICK", "ring"]),
    (Event::GetBase, &["GET_VRING_BASE stops"]),
    (Event::Enable, &["num 1 enables", "SET_VRING_ENABLE"]),
    (Event::Disable, &["num 0 disables", "SET_VRING_ENABLE"]),
    (Event::ResetOwner, &["RESET_OWNER", "all rings"]),
    (Event::ResetDevice, &["All rings", "RESET_DEVICE"]),
];

#[test]
fn every_event_moves_a_ring_as_the_specification_says() {
    assert_eq!(RINGS.map(|(event, _)| event), TRANSITIONS.map(|row| row.event));
    for (event, after) in RINGS {
        for (from, to) in State::ALL.into_iter().zip(after) {
            assert_eq!(from.after(event), State::ALL[to], "{event:?} when {from}");
        }
    }
}

#[test]
fn what_is_done_with_a_ring_follows_from_its_two_flags() {
    use Service::{Discard, Idle, Serve};
    assert_eq!(State::ALL.map(State::service), [Idle, Idle, Discard, Serve]);
    let packets = |service: Service| {
        [service.supplies_packets(), service.takes_packets(), service.forwards_packets()]
    };
    assert_eq!(packets(Idle), [false, false, false]);
    assert_eq!(packets(Discard), [false, true, false]);
    assert_eq!(packets(Serve), [true, true, true]);
}

#[test]
fn every_state_of_a_ring_is_reached_from_every_other() {
    for start in State::ALL {
        let mut reached = vec![start];
        while let Some(next) = reached
            .iter()
            .flat_map(|state| TRANSITIONS.map(|row| state.after(row.event)))
            .find(|state| !reached.contains(state))
        {
            reached.push(next);
        }
        assert_eq!(reached.len(), State::ALL.len(), "from {start}");
    }
}

/// The row of a requirement in spec §7.
fn requirement(rule: u16) -> &'static str {
    let start = format!("| VU-{rule:03} | ");
    let mut rows = SPEC.lines().filter(|line| line.starts_with(&start));
    match (rows.next(), rows.next()) {
        (Some(row), None) => row,
        (row, _) => panic!("VU-{rule:03}: expected one row, {row:?} is the first"),
    }
}

#[test]
fn every_row_of_a_ring_says_what_its_requirement_says() {
    for (row, (event, words)) in TRANSITIONS.iter().zip(WORDS) {
        assert_eq!(row.event, event);
        let line = requirement(row.rule);
        // RESET_DEVICE stops rings by derivation alone (spec §6.5).
        let stops = if event == Event::ResetDevice { "" } else { "stop" };
        let started = match row.started {
            Change::Keep => "",
            Change::Set => "start",
            Change::Clear => stops,
        };
        let enabled = match row.enabled {
            Change::Keep => "",
            Change::Set => "enable",
            Change::Clear => "disable",
        };
        for word in words.iter().chain([&started, &enabled]) {
            assert!(line.contains(word), "{}: {word:?} is not in {line}", row.name);
        }
    }
}

/// The state that follows when a step comes in a state, or none if it may not come then. Rows
/// are in the order of `postcopy::State::ALL`, cells in that of `Step::ALL`: advise, listen,
/// table, acknowledgement, end.
const POSTCOPY: [[Option<postcopy::State>; 5]; 5] = {
    use postcopy::State::{Active, Advised, Listening, Off, TableSent};
    [
        [Some(Advised), None, None, None, None],
        [None, Some(Listening), None, None, None],
        [None, None, Some(TableSent), None, Some(Off)],
        [None, None, None, Some(Active), None],
        [None, None, Some(TableSent), None, Some(Off)],
    ]
};

/// Every state and step of postcopy with what follows.
fn postcopy_cells() -> impl Iterator<Item = (postcopy::State, Step, Option<postcopy::State>)> {
    postcopy::State::ALL.into_iter().zip(POSTCOPY).flat_map(|(from, row)| {
        Step::ALL.into_iter().zip(row).map(move |(step, to)| (from, step, to))
    })
}

#[test]
fn every_step_of_postcopy_is_taken_only_where_the_specification_has_it() {
    let _shows = shows(&["VU-175"]);
    for (from, step, to) in postcopy_cells() {
        assert_eq!(from.after(step), to, "{step:?} when {from}");
    }
    let rows = postcopy_cells().filter(|(_, _, to)| to.is_some()).count();
    assert_eq!(postcopy::TRANSITIONS.len(), rows, "a row stands in the table twice");
}

/// Steps from one state of postcopy to another, as few as can be.
fn way(from: postcopy::State, to: postcopy::State) -> Option<Vec<Step>> {
    let mut ways = vec![(from, Vec::new())];
    let mut at = 0;
    while let Some((state, steps)) = ways.get(at).cloned() {
        if state == to {
            return Some(steps);
        }
        for row in postcopy::TRANSITIONS.iter().filter(|row| row.from == state) {
            if ways.iter().all(|(known, _)| *known != row.to) {
                ways.push((row.to, [&steps[..], &[row.step]].concat()));
            }
        }
        at += 1;
    }
    None
}

#[test]
fn every_state_of_postcopy_is_reached_and_left_again() {
    use postcopy::State::{Active, Listening, Off};
    for state in postcopy::State::ALL {
        assert!(way(Off, state).is_some(), "{state} is never reached");
        assert!(way(state, Off).is_some(), "{state} is never left for good");
    }
    for state in [Listening, Active] {
        assert_eq!(way(state, Off), Some(vec![Step::End]), "{state}");
    }
}

/// A session of a device without rings in use, with postcopy negotiated.
fn session() -> Session<u8, u8> {
    let offer = Offer {
        device: 1,
        features: virtio::PROTOCOL_FEATURES,
        protocol_features: protocol::PAGEFAULT,
        queues: 2,
        queue_num: 2,
        max_queue_size: 256,
        max_mem_slots: 8,
        config_len: 0,
        config_limit: 256,
        config_writable: Default::default(),
        page_size: 4096,
        shmem: None,
    };
    let mut session = Session::new(offer).expect("an offer that a device may make");
    let bits = protocol::PAGEFAULT.to_ne_bytes();
    send(&mut session, R::SET_PROTOCOL_FEATURES, &bits, 0).expect("protocol features");
    session
}

/// Sends a message and does what the session asks for.
fn send(session: &mut Session<u8, u8>, request: R, payload: &[u8], fds: u8) -> Result<(), Refusal> {
    let size = u32::try_from(payload.len()).expect("a small payload");
    let header = [request.0, 1, size].map(u32::to_ne_bytes).concat();
    let bytes = [&header[..], payload].concat();
    let frame = Frame { kind: Kind::FRONTEND_REQUEST, bytes: &bytes, fds: (0..fds).collect() };
    let mut asks = session.on_frame(frame);
    loop {
        let done = match asks {
            Asks::Silent => return Ok(()),
            Asks::Reply(reply) => return reply.refusal.map_or(Ok(()), Err),
            Asks::Close(refusal) => return Err(refusal),
            Asks::Need(Effect::MapRegion { .. }) => Done::Mapped { mapping: 0, address: 0x7000 },
            Asks::Need(Effect::OpenUserfault) => Done::Fd(0),
            Asks::Need(Effect::RegisterUserfault | Effect::CloseUserfault) => Done::Nothing,
            Asks::Need(effect) => panic!("{effect:?} has no place in postcopy"),
        };
        asks = session.on_done(Ok(done));
    }
}

/// Sends the message of a step.
fn take(session: &mut Session<u8, u8>, step: Step) -> Result<(), Refusal> {
    match step {
        Step::Table => {
            // Count and padding; then guest address, size, user address and offset of a page.
            let count = [1, 0].map(u32::to_ne_bytes).concat();
            let region = [0, 0x1000, 0x5000, 0].map(u64::to_ne_bytes).concat();
            send(session, step.request(), &[count, region].concat(), 1)
        }
        Step::Acknowledge => send(session, step.request(), &[0; 8], 0),
        _ => send(session, step.request(), &[], 0),
    }
}

#[test]
fn a_session_takes_the_steps_of_the_table_and_refuses_all_others() {
    use postcopy::State::{Advised, Off, TableSent};
    for (from, step, to) in postcopy_cells() {
        let mut session = session();
        for step in way(Off, from).expect("every state is reached") {
            take(&mut session, step).unwrap_or_else(|refusal| panic!("{step:?}: {refusal}"));
        }
        assert_eq!(session.postcopy(), from);
        let result = take(&mut session, step);
        let context = format!("{step:?} when {from}");
        match (step, from, to) {
            (_, _, Some(_)) => assert_eq!(result, Ok(()), "{context}"),
            // An ordinary table.
            (Step::Table, Off | Advised, None) => assert_eq!(result, Ok(()), "{context}"),
            (Step::Table, TableSent, None) => {
                assert_refused!(result, Refusal::PostcopyAckDue, "{context}");
            }
            // What would acknowledge a table is one without regions.
            (Step::Acknowledge, _, None) => {
                let refusal = Refusal::Decode(DecodeError::RegionCount { count: 0, limit: 8 });
                assert_refused!(result, refusal, "{context}");
            }
            _ => {
                let refusal = Refusal::PostcopyOrder { code: step.request().0, state: from };
                assert_refused!(result, refusal, "{context}");
            }
        }
        assert_eq!(session.postcopy(), to.unwrap_or(from), "{context}");
    }
}

#[test]
fn names_of_states_differ() {
    let rings: BTreeSet<_> = State::ALL.iter().map(ToString::to_string).collect();
    let postcopy: BTreeSet<_> = postcopy::State::ALL.iter().map(ToString::to_string).collect();
    assert_eq!((rings.len(), postcopy.len()), (State::ALL.len(), postcopy::State::ALL.len()));
}
