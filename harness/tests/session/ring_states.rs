//! Every state of a ring and every event: spec §6.5, written out by hand, against the table of
//! the code and against a session that hears the messages.

use vhost_fuzz_core::session::{Event, State, TRANSITIONS};
use vhost_fuzz_core::vhost_user::FrontendRequest as R;
use vhost_fuzz_core::vhost_user::features::protocol;
use vhost_fuzz_harness::evidence::shows;
use vhost_fuzz_harness::session::talk::{Talk, bare, no_fd, number, state, vring_fd};

/// Started and enabled as two digits, in the four states, and after each event.
const TABLE: [(Event, [(u8, u8); 4]); 10] = [
    (Event::Connect, [(0, 0), (0, 0), (0, 0), (0, 0)]),
    (Event::PlainFeatures, [(0, 1), (0, 1), (1, 1), (1, 1)]),
    (Event::ProtocolFeatures, [(0, 0), (0, 1), (1, 0), (1, 1)]),
    (Event::SetKick, [(1, 0), (1, 1), (1, 0), (1, 1)]),
    (Event::KickMessage, [(1, 0), (1, 1), (1, 0), (1, 1)]),
    (Event::GetBase, [(0, 0), (0, 1), (0, 0), (0, 1)]),
    (Event::Enable, [(0, 1), (0, 1), (1, 1), (1, 1)]),
    (Event::Disable, [(0, 0), (0, 0), (1, 0), (1, 0)]),
    (Event::ResetOwner, [(0, 0), (0, 0), (1, 0), (1, 0)]),
    (Event::ResetDevice, [(0, 0), (0, 0), (0, 0), (0, 0)]),
];

const FROM: [(u8, u8); 4] = [(0, 0), (0, 1), (1, 0), (1, 1)];

fn flags(state: State) -> (u8, u8) {
    (state.started.into(), state.enabled.into())
}

/// A talk whose ring 1 is in a state. `SET_FEATURES` brings what its repetition will bring again:
/// nothing else may change while a ring is started (DC-016).
fn talk_in((started, enabled): (u8, u8), features: u64) -> Talk {
    let all = protocol::ALL & !protocol::XEN_MMAP & !protocol::CONFIGURE_MEM_SLOTS;
    let mut talk = Talk::having(all);
    talk.features(features);
    talk.ask(state(R::SET_VRING_ENABLE, 1, enabled.into())).acked();
    if started == 1 {
        talk.start(1);
    }
    assert_eq!(flags(talk.ring(1).state()), (started, enabled));
    talk
}

/// The forms of the messages that bring an event.
fn bring(event: Event, form: usize, talk: &mut Talk) -> bool {
    let said = match (event, form) {
        (Event::Connect, 0) => {
            talk.disconnect();
            return true;
        }
        (Event::PlainFeatures, 0) => talk.ask(number(R::SET_FEATURES, 1 << 32)),
        (Event::ProtocolFeatures, 0) => talk.ask(number(R::SET_FEATURES, Talk::FEATURES)),
        (Event::SetKick, 0) => talk.ask_with(vring_fd(R::SET_VRING_KICK, 1), 1),
        (Event::SetKick, 1) => talk.ask(no_fd(R::SET_VRING_KICK, 1)),
        (Event::KickMessage, 0) => talk.ask(state(R::VRING_KICK, 1, 0)),
        (Event::GetBase, 0) => talk.ask(state(R::GET_VRING_BASE, 1, 0)),
        (Event::GetBase, 1) => talk.ask(state(R::GET_VRING_BASE_SKIP_DRAIN, 1, 0)),
        (Event::Enable, 0) => talk.ask(state(R::SET_VRING_ENABLE, 1, 1)),
        (Event::Disable, 0) => talk.ask(state(R::SET_VRING_ENABLE, 1, 0)),
        (Event::ResetOwner, 0) => talk.ask(bare(R::RESET_OWNER)),
        (Event::ResetDevice, 0) => talk.ask(bare(R::RESET_DEVICE)),
        _ => return false,
    };
    if event == Event::GetBase {
        assert_eq!(said.state(), (1, 0));
    } else {
        said.acked();
    }
    true
}

#[test]
fn every_event_in_every_state_goes_where_the_specification_says() {
    let _shows = shows(&[
        "VU-042", "VU-043", "VU-056", "VU-058", "VU-060", "VU-065", "VU-066", "VU-067", "VU-068",
        "VU-109", "VU-219", "VU-222",
    ]);
    let mut driven = 0;
    for (event, to) in TABLE {
        for (from, to) in FROM.into_iter().zip(to) {
            for form in 0.. {
                let plain = event == Event::PlainFeatures;
                let mut talk = talk_in(from, if plain { 1 << 32 } else { Talk::FEATURES });
                if !bring(event, form, &mut talk) {
                    break;
                }
                assert_eq!(flags(talk.ring(1).state()), to, "{event:?} {form} in {from:?}");
                let is_one_started = to.0 == 1;
                assert_eq!(talk.session().is_suspended(), !is_one_started, "{event:?}");
                // No other ring has started, and an event of ring 1 moves no other.
                let others = talk.session().rings().iter().map(|ring| flags(ring.state()));
                assert!(others.enumerate().all(|(at, flags)| at == 1 || flags.0 == 0));
                driven += 1;
            }
        }
    }
    assert_eq!(driven, (TABLE.len() + 2) * FROM.len(), "every event in every form");
}

#[test]
fn the_table_of_the_code_is_that_of_the_specification() {
    assert_eq!(TRANSITIONS.len(), TABLE.len());
    assert_eq!(State::ALL.map(flags), FROM);
    for ((event, to), row) in TABLE.into_iter().zip(TRANSITIONS) {
        assert_eq!(event, row.event);
        assert_eq!(State::ALL.map(|state| flags(state.after(event))), to, "{}", row.name);
    }
}
