//! Properties of the DHCP server of a port.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, Message, MessageType, OptionCode};
use dhcproto::{Decodable as _, Decoder, Encodable as _, Encoder};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use vhost_fuzz_core::net::dhcp::{Answer, Outcome as Came, Request, Server};
use vhost_fuzz_harness::dhcp::{
    ADDRESS, Draft, ELSEWHERE, FAR_ROUTER, GUEST, NEAR_ROUTER, Setup, input,
};
use vhost_fuzz_harness::target::dhcp::{Outcome, check, judge};

use vhost_fuzz_proptests::number;
use vhost_fuzz_proptests::ring::trial::{assert_reached, cases};
use vhost_fuzz_proptests::runner::Suite;

const CONVERSATIONS: Suite = Suite { target: "dhcp", times: 4 };

type Conversation = (Setup, Vec<Draft>);

fn run(bytes: &[u8]) -> Outcome {
    check::<Server>(bytes)
}

fn bytes((setup, drafts): &Conversation) -> Vec<u8> {
    input(*setup, drafts)
}

fn setup() -> impl Strategy<Value = Setup> + Clone {
    (any::<u8>(), 0..4_u8).prop_map(|(flags, mtu)| Setup([flags, mtu]))
}

/// An address that decides something, or any.
fn address() -> impl Strategy<Value = Ipv4Addr> + Clone {
    let known = [ADDRESS, FAR_ROUTER, NEAR_ROUTER, ELSEWHERE, [0; 4].into(), [255; 4].into()];
    prop_oneof![7 => select(known.to_vec()), 1 => any::<u32>().prop_map(Ipv4Addr::from_bits)]
}

/// A whole option.
fn option() -> impl Strategy<Value = (u8, Vec<u8>)> + Clone {
    let fixed = select(&[50_u8, 53, 54, 57, 52, 80]);
    let address = address().prop_map(|address| address.octets().to_vec());
    prop_oneof![
        2 => (select(&[50_u8, 54]), address),
        1 => (Just(53), (0..10_u8).prop_map(|kind| vec![kind])),
        1 => (Just(52), (0..5_u8).prop_map(|fields| vec![fields])),
        1 => (Just(57), any::<u16>().prop_map(|size| size.to_be_bytes().to_vec())),
        1 => (Just(80), Just(vec![])),
        2 => (Just(55), vec(any::<u8>(), 0..40)),
        1 => (select(&[61_u8, 82]), number::bytes(0..=255)),
        1 => (fixed, number::bytes(0..=6)),
        1 => (1..=254_u8, number::bytes(0..=40)),
    ]
}

/// A message in one of the states of a client, with more options than it needs.
fn message() -> impl Strategy<Value = Draft> + Clone {
    let state = (0..10_u8, setup(), address());
    let options = vec(option(), 0..4);
    let how = (any::<bool>(), any::<bool>(), select(&[0_u16, 0, 1, 9, 10, 43_200, u16::MAX]));
    (state, options, how).prop_map(|((state, setup, address), options, (end, broadcast, after))| {
        let draft = match state {
            0 => Draft::discover(),
            1 => Draft::selecting(setup),
            2 => Draft::rebooting(),
            3 => Draft::renewing(setup),
            4 => Draft::rebinding(),
            5 => Draft::decline(setup),
            6 => Draft::release(setup),
            7 => Draft::inform(address),
            8 => Draft::new(3).requested(address),
            // A type that clients do not send, in most cases.
            _ => Draft::new(address.octets()[3]),
        };
        let draft = if broadcast { draft.broadcast() } else { draft };
        let draft = options.iter().fold(draft, |draft, (code, value)| draft.option(*code, value));
        if end { draft.end().after(after) } else { draft.after(after) }
    })
}

fn conversation() -> impl Strategy<Value = Conversation> + Clone {
    (setup(), vec(message(), 0..8))
}

/// One field of a message says something else.
fn hostile() -> impl Strategy<Value = Draft> + Clone {
    let header = (0..44_usize, any::<u8>());
    let file = (select(&[108_usize, 44]), number::bytes(0..=64), 0..5_u8);
    let how = (address(), address(), select(&[67_u16, 67, 67, 68, 4011]));
    let what = prop_oneof![
        (message(), header).prop_map(|(draft, (at, byte))| draft.at(at, &[byte])),
        (message(), 0..4_usize, address())
            .prop_map(|(draft, at, address)| draft.at(12 + 4 * at, &address.octets())),
        (message(), how).prop_map(|(draft, (source, destination, port))| Draft {
            source,
            destination,
            port,
            ..draft
        }),
        (message(), file).prop_map(|(mut draft, (at, bytes, fields))| {
            draft.payload.splice(240..240, [52, 1, fields]);
            draft.at(at, &bytes)
        }),
        (message(), any::<Index>()).prop_map(|(mut draft, at)| {
            draft.payload.truncate(at.index(draft.payload.len()));
            draft
        }),
    ];
    what.boxed()
}

#[test]
fn conversations_come_out_as_the_model_says() {
    CONVERSATIONS.for_all(&conversation(), bytes, |(_, drafts), bytes| {
        assert_eq!(run(bytes).messages, drafts.len());
    });
}

#[test]
fn one_field_says_something_else() {
    let conversations = (setup(), vec(prop_oneof![message(), hostile()], 0..6));
    CONVERSATIONS.for_all(&conversations, bytes, |_, bytes| _ = run(bytes));
}

#[test]
fn arbitrary_options() {
    let drafts = vec(number::bytes(0..=400).prop_map(|bytes| Draft::discover().raw(&bytes)), 1..3);
    CONVERSATIONS.for_all(&(setup(), drafts), bytes, |_, bytes| _ = run(bytes));
}

#[test]
fn arbitrary_bytes_as_an_input() {
    CONVERSATIONS.for_all(&number::bytes(0..=900), Vec::clone, |_, bytes| _ = run(bytes));
}

#[test]
fn one_flipped_byte() {
    let flipped = |(conversation, at, bits): &(Conversation, Index, u8)| {
        let mut bytes = bytes(conversation);
        let at = at.index(bytes.len());
        bytes[at] ^= bits;
        bytes
    };
    let cases = (conversation(), any::<Index>(), 1..=u8::MAX);
    CONVERSATIONS.for_all(&cases, flipped, |_, bytes| _ = run(bytes));
}

/// How a value is cut into options, and in which field they lie, does not matter.
#[test]
fn options_can_be_cut_anywhere() {
    let cut = (setup(), 0..=4_u8, 0..=4_u8);
    let whole = |(setup, ..): &(Setup, u8, u8)| input(*setup, &[Draft::selecting(*setup)]);
    CONVERSATIONS.for_all(&cut, whole, |(setup, one, other), bytes| {
        let (address, server) = (ADDRESS.octets(), setup.server().octets());
        let (address, rest) = address.split_at((*one).into());
        let (server, server_rest) = server.split_at((*other).into());
        let mut parts = Draft::new(3).option(52, &[1]).option(54, server);
        parts = parts.option(50, address).option(54, server_rest);
        let rest = [&[50, 4 - one], rest, &[255]].concat();
        let parts = parts.at(108, &rest);
        let reply = |bytes: &[u8]| judge(bytes).map(|(_, said)| said).collect::<Vec<_>>();
        let bytes_of_parts = input(*setup, &[parts]);
        assert_eq!(reply(&bytes_of_parts), reply(bytes));
        assert_eq!(run(&bytes_of_parts).answers, 1);
    });
}

/// Conversations that are drawn to see what they reach.
const CASES: usize = 4000;

#[test]
fn conversations_reach_every_refusal_and_every_silence() {
    let hostile = (setup(), vec(prop_oneof![message(), hostile()], 1..6));
    let mut rules = BTreeSet::new();
    for conversation in cases(hostile, CASES) {
        for (_, said) in judge(&bytes(&conversation)) {
            match said {
                Err(id) | Ok(vhost_fuzz_model::net::dhcp::Said::Nothing(id)) => {
                    rules.insert(id.to_string());
                }
                Ok(_) => {}
            }
        }
    }
    let wanted = [
        "DH-001", "DH-002", "DH-003", "DH-005", "DH-009", "DH-024", "DH-029", "DH-031", "DH-033",
        "DH-034", "DH-035", "DH-036", "DH-046", "DH-047", "DH-048", "DH-049", "DH-054", "DH-056",
        "DC-113", "DC-114", "DC-119",
    ];
    assert_reached(&rules, &wanted);
}

/// What a client remembers, as RFC 2131 §4.4 draws it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Init,
    Rebooting(Ipv4Addr),
    Selecting,
    Requesting(Ipv4Addr, Ipv4Addr),
    Bound(Ipv4Addr, Ipv4Addr),
    Renewing(Ipv4Addr, Ipv4Addr),
    Rebinding(Ipv4Addr),
}

/// A client that keeps to the rules. It writes and reads with a library of its own.
struct Client {
    state: State,
    is_broadcast: bool,
    id: Option<Vec<u8>>,
}

impl Client {
    fn send(&self, kind: MessageType, more: &[DhcpOption], ciaddr: Ipv4Addr) -> Vec<u8> {
        let none = Ipv4Addr::UNSPECIFIED;
        let mut message = Message::new_with_id(77, ciaddr, none, none, none, &GUEST.0);
        if self.is_broadcast {
            message.set_flags(dhcproto::v4::Flags::default().set_broadcast());
        }
        let options = message.opts_mut();
        options.insert(DhcpOption::MessageType(kind));
        options.insert(DhcpOption::ParameterRequestList(vec![
            OptionCode::SubnetMask,
            OptionCode::Router,
            OptionCode::ClasslessStaticRoute,
            OptionCode::DomainNameServer,
        ]));
        if let Some(id) = &self.id {
            options.insert(DhcpOption::ClientIdentifier(id.clone()));
        }
        for option in more {
            options.insert(option.clone());
        }
        let mut payload = Vec::new();
        message.encode(&mut Encoder::new(&mut payload)).expect("a message");
        payload
    }

    /// What it sends in its state: payload, source and destination.
    fn next(&mut self) -> (Vec<u8>, Ipv4Addr, Ipv4Addr) {
        if self.state == State::Init {
            self.state = State::Selecting;
        }
        let (none, all) = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST);
        let wants = DhcpOption::RequestedIpAddress;
        let request = |more: &[DhcpOption], ciaddr| self.send(MessageType::Request, more, ciaddr);
        match self.state {
            State::Init | State::Selecting => {
                (self.send(MessageType::Discover, &[], none), none, all)
            }
            State::Rebooting(address) => (request(&[wants(address)], none), none, all),
            State::Requesting(address, server) => {
                let more = [wants(address), DhcpOption::ServerIdentifier(server)];
                (request(&more, none), none, all)
            }
            State::Renewing(address, server) | State::Bound(address, server) => {
                (request(&[], address), address, server)
            }
            State::Rebinding(address) => (request(&[], address), address, all),
        }
    }

    /// Takes what it is answered.
    fn hear(&mut self, answer: &Answer, reply: &[u8]) {
        let reply = Message::decode(&mut Decoder::new(reply)).expect("a message");
        let options = reply.opts();
        assert_eq!((reply.xid(), reply.chaddr()), (77, &GUEST.0[..]));
        let id = self.id.clone().map(DhcpOption::ClientIdentifier);
        assert_eq!(options.get(OptionCode::ClientIdentifier), id.as_ref());
        let Some(DhcpOption::ServerIdentifier(server)) = options.get(OptionCode::ServerIdentifier)
        else {
            panic!("no server")
        };
        let can_hear = [reply.yiaddr(), reply.ciaddr(), Ipv4Addr::BROADCAST];
        assert!(can_hear.contains(&answer.destination), "{answer:?}");
        self.state = match (options.msg_type(), self.state) {
            (Some(MessageType::Offer), State::Selecting) => {
                State::Requesting(reply.yiaddr(), *server)
            }
            (Some(MessageType::Ack), state) if state != State::Selecting => {
                for code in [OptionCode::SubnetMask, OptionCode::AddressLeaseTime] {
                    assert!(options.contains(code), "{code:?}");
                }
                State::Bound(reply.yiaddr(), *server)
            }
            (Some(MessageType::Nak), state) if state != State::Selecting => State::Init,
            (kind, state) => panic!("{kind:?} in {state:?}"),
        };
    }
}

/// Wherever a client begins, and whatever the server saw before: each of its messages is
/// answered, a NAK sends it back to the start at most once, and it ends with the address.
#[test]
fn a_client_always_ends_bound_or_is_told_no() {
    let start = prop_oneof![
        Just(State::Init),
        address().prop_map(State::Rebooting),
        address().prop_map(|address| State::Renewing(address, FAR_ROUTER)),
        address().prop_map(State::Rebinding),
    ];
    let id = proptest::option::of(number::bytes(2..=255));
    // An authoritative server without relays and rapid commit, which this client does not ask for.
    let setup = setup().prop_map(|setup| Setup([setup.0[0] & !Setup::HUMBLE, setup.0[1]]));
    let cases = (setup, vec(message(), 0..6), start, id, any::<bool>());
    let before = |(setup, drafts, ..): &(Setup, Vec<Draft>, State, Option<Vec<u8>>, bool)| {
        input(*setup, drafts)
    };
    CONVERSATIONS.for_all(&cases, before, |(setup, drafts, start, id, is_broadcast), _| {
        let mut server = Server::new(setup.config()).expect("a configuration");
        let mut out = vec![0; 9216];
        let mut now_ms = 0;
        for draft in drafts {
            now_ms += 1000 * u64::from(draft.seconds);
            _ = server.handle(&draft.request(), now_ms, &mut out);
        }
        now_ms += setup.config().hold_ms;
        let state = match *start {
            // Nobody has these addresses, or renews with another server.
            State::Rebooting(address) | State::Rebinding(address) | State::Renewing(address, _)
                if address.is_unspecified() || address.is_broadcast() =>
            {
                State::Init
            }
            State::Renewing(address, _) => State::Renewing(address, setup.server()),
            state => state,
        };
        let mut client = Client { state, is_broadcast: *is_broadcast, id: id.clone() };
        let (mut naks, mut acks) = (0, 0);
        // At most: refused, offered, granted, and then renewed and rebound.
        while acks < 3 {
            let (payload, source, destination) = client.next();
            let (payload, ethernet_source) = (&payload, GUEST);
            let request = Request { payload, ethernet_source, source, destination, port: 67 };
            let came = server.handle(&request, now_ms, &mut out);
            let Ok(Came::Answer(answer)) = came else { panic!("{:?}: {came:?}", client.state) };
            client.hear(&answer, &out[..answer.len]);
            naks += usize::from(client.state == State::Init);
            assert!(naks <= 1, "{naks} times refused");
            if let State::Bound(address, named) = client.state {
                assert_eq!((address, named), (ADDRESS, setup.server()));
                acks += 1;
                now_ms += 1000;
                client.state = match acks {
                    1 => State::Renewing(address, named),
                    _ => State::Rebinding(address),
                };
            }
        }
        assert!(server.lease(now_ms).is_some());
    });
}
