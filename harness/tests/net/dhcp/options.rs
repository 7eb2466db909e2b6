//! What is read, and what is dropped.

use vhost_fuzz_core::net::dhcp::{DhcpError, Field, Message, Silence, kind};
use vhost_fuzz_harness::assert_refused;
use vhost_fuzz_harness::dhcp::{ADDRESS, Draft};
use vhost_fuzz_harness::evidence::shows;

use super::{answer, plain, silence};

fn read(draft: &Draft) -> Result<Message<'_>, DhcpError> {
    Message::parse(&draft.payload)
}

#[test]
fn what_is_no_request_is_dropped() {
    assert_refused!(read(&Draft::discover().at(0, &[2])), DhcpError::NotARequest { op: 2 });
    let found = [0x63, 0x82, 0x53, 0x64];
    assert_refused!(read(&Draft::discover().at(236, &found)), DhcpError::Cookie { found });
    assert_refused!(read(&Draft::plain().requested(ADDRESS).end()), DhcpError::NoKind);
    let hidden = Draft::plain().option(52, &[1]).at(108, &[53, 1, 1, 255]);
    assert_refused!(read(&hidden), DhcpError::NoKind);
}

#[test]
fn a_message_without_options_is_dropped() {
    let draft = Draft::discover();
    for len in 0..=240 {
        assert_refused!(Message::parse(&draft.payload[..len]), DhcpError::Short { len });
    }
    let error = DhcpError::OptionWithoutLength { field: Field::Options, code: 53 };
    assert_refused!(Message::parse(&draft.payload[..241]), error);
    for (at, len, field) in [(108, 128, Field::File), (44, 64, Field::ServerName)] {
        let [_, fill] = [0, len - 3];
        let draft = Draft::discover()
            .option(52, &[3])
            .at(at, &[12, u8::try_from(fill).expect("a short field")])
            .at(at + len - 1, &[7]);
        assert_refused!(read(&draft), DhcpError::OptionWithoutLength { field, code: 7 });
    }
}

#[test]
fn hardware_that_is_no_ethernet_is_dropped() {
    for (htype, hlen) in [(0, 6), (6, 6), (1, 0), (1, 5), (1, 7), (1, 16), (1, 17), (1, 255)] {
        let draft = Draft::discover().at(1, &[htype, hlen]);
        assert_refused!(read(&draft), DhcpError::Hardware { htype, hlen });
    }
}

#[test]
fn an_option_never_leaves_its_field() {
    for (at, len, field) in [(108, 128, Field::File), (44, 64, Field::ServerName)] {
        for over in 1..4 {
            let fill = u8::try_from(len - 2 + over).expect("a short field");
            let draft = Draft::discover().option(52, &[3]).at(at, &[12, fill]).end();
            let error = DhcpError::OptionPastField { field, code: 12, len: fill, left: len - 2 };
            assert_refused!(read(&draft), error);
        }
        let whole = u8::try_from(len - 2).expect("a short field");
        let draft = Draft::discover().option(52, &[3]).at(at, &[12, whole]).end();
        let message = read(&draft).expect("it ends with the field");
        assert_eq!(message.options.get(12).map(|value| value.len()), Some(len - 2));
    }
    for left in 0..255_u8 {
        let draft = Draft::discover().raw(&[12, left + 1]).raw(&vec![1; left.into()]);
        let (field, left) = (Field::Options, left.into());
        let len = draft.payload[244];
        assert_refused!(read(&draft), DhcpError::OptionPastField { field, code: 12, len, left });
    }
}

#[test]
fn an_end_may_be_missing_and_ends_what_there_is() {
    let _shows = shows(&["DH-006"]);
    let without = Draft::discover().option(12, b"a");
    let message = read(&without).expect("the field ends behind an option");
    assert_eq!(message.options.iter().collect::<Vec<_>>(), [(53, &[1][..]), (12, b"a")]);
    let with = without.clone().end().raw(&[12, 200, 1]);
    let behind = read(&with).expect("nobody looks behind the end");
    assert_eq!(behind.options.iter().count(), 2);
    let pads = without.raw(&[0; 9]).option(12, b"b").raw(&[0]);
    let message = read(&pads).expect("pads have no length");
    assert_eq!(message.options.get(12).map(|value| value.bytes().collect()), Some(b"ab".to_vec()));
}

#[test]
fn fields_count_in_their_order_and_values_are_put_together() {
    let _shows = shows(&["DH-007", "DH-043"]);
    let draft = Draft::new(kind::REQUEST)
        .option(12, b"one ")
        .option(50, &[192])
        .option(52, &[3])
        .option(12, b"two ")
        .end()
        .at(108, &[12, 6, b't', b'h', b'r', b'e', b'e', b' ', 50, 2, 0, 2, 255])
        .at(44, &[50, 1, 10, 12, 4, b'f', b'o', b'u', b'r', 255]);
    let message = read(&draft).expect("whole options");
    let name = message.options.get(12).expect("a name");
    assert_eq!(name.bytes().collect::<Vec<_>>(), b"one two three four");
    assert_eq!((name.len(), name.pieces().count()), (18, 4));
    assert_eq!(message.requested, Some(ADDRESS));
    // Only those fields that option 52 names.
    let names = |value: u8| {
        let draft = Draft::discover().option(12, b"o").option(52, &[value]).end();
        let draft = draft.at(108, &[12, 1, b'f', 255]).at(44, &[12, 1, b's', 255]);
        let message = read(&draft).expect("whole options");
        message.options.get(12).expect("a name").bytes().collect::<Vec<_>>()
    };
    assert_eq!([1, 2, 3].map(names), [b"of".to_vec(), b"os".to_vec(), b"ofs".to_vec()]);
}

#[test]
fn an_overload_that_says_nothing_is_ignored() {
    let _shows = shows(&["DH-008"]);
    // What these fields say is no list of options.
    let rubbish = |draft: Draft| draft.end().at(108, &[12, 255]).at(44, &[12, 255]);
    for value in [0, 4, 255] {
        let draft = rubbish(Draft::discover().option(52, &[value]));
        assert!(read(&draft).is_ok(), "{value}");
    }
    for value in [&[][..], &[1, 1]] {
        assert!(read(&rubbish(Draft::discover().option(52, value))).is_ok(), "{value:?}");
    }
    assert!(read(&rubbish(Draft::discover().option(52, &[1]).option(52, &[2]))).is_ok());
    let nested = Draft::discover().option(52, &[1]).end().at(108, &[52, 1, 3, 255]);
    assert!(read(&nested.clone().at(44, &[12, 255])).is_ok());
    let other = Draft::discover().option(52, &[2]).end().at(44, &[52, 1, 3, 255]);
    assert!(read(&other.at(108, &[12, 255])).is_ok());
}

#[test]
fn an_option_that_decides_has_the_right_length() {
    for (code, right) in [(53, 1), (50, 4), (54, 4)] {
        for len in (0..9).filter(|len| *len != right) {
            let plain = if code == 53 { Draft::plain() } else { Draft::discover() };
            let draft = plain.option(code, &vec![1; len]).end();
            assert_refused!(read(&draft), DhcpError::Length { code, len });
        }
    }
    let twice = Draft::discover().option(53, &[1]);
    assert_refused!(read(&twice), DhcpError::Length { code: 53, len: 2 });
    let split = Draft::new(kind::REQUEST).option(50, &[192, 0]).option(50, &[2, 10, 1]);
    assert_refused!(read(&split), DhcpError::Length { code: 50, len: 5 });
}

#[test]
fn other_options_of_a_wrong_length_are_not_there() {
    let _shows = shows(&["DH-009"]);
    for len in [0, 1, 3, 4] {
        let draft = Draft::discover().option(57, &vec![5; len]).option(80, &vec![0; len + 1]);
        let message = read(&draft).expect("nothing depends on these");
        assert_eq!((message.max_size, message.rapid_commit), (None, false));
    }
    let draft = Draft::discover().option(57, &[5]).option(57, &[220]).option(80, &[]);
    let message = read(&draft).expect("a size in two parts");
    assert_eq!((message.max_size, message.rapid_commit), (Some(1500), true));
}

#[test]
fn client_identifiers_are_bounded() {
    let long = Draft::discover().option(61, &[1; 200]).option(61, &[1; 56]);
    assert_refused!(read(&long), DhcpError::ClientId { len: 256 });
    let fits = Draft::discover().option(61, &[1; 200]).option(61, &[1; 55]);
    assert_eq!(read(&fits).expect("255 bytes").client_id.map(|id| id.len()), Some(255));
}

#[test]
fn flags_without_a_meaning_have_none() {
    let _shows = shows(&["DH-004"]);
    for bit in 0..15 {
        let draft = Draft::discover().at(10, &(1_u16 << bit).to_be_bytes()).end();
        let reply = answer(&mut plain(), &draft);
        assert_eq!(reply.answer.destination, ADDRESS);
        assert_eq!(reply.bytes[10..12], (1_u16 << bit).to_be_bytes());
    }
}

#[test]
fn types_of_servers_and_unknown_ones_are_ignored() {
    let _shows = shows(&["DH-049"]);
    for kind in [0, 2, 5, 6].into_iter().chain(9..=255) {
        let error = Silence::Kind { kind };
        assert_eq!(silence(&mut plain(), &Draft::new(kind).end()), error);
        assert_eq!(error.rule().to_string(), "DH-049");
    }
}

#[test]
fn names_are_bytes_and_escaped_where_they_are_shown() {
    let _shows = shows(&["DH-052"]);
    let name = b"a\0b\xff\x1b[2J\n";
    let draft = Draft::discover().option(12, name).option(60, &[]).end();
    let message = read(&draft).expect("bytes are bytes");
    let value = message.options.get(12).expect("a name");
    assert_eq!(value.bytes().collect::<Vec<_>>(), name);
    assert_eq!(value.to_string(), "a\\x00b\\xff\\x1b[2J\\n");
    assert_eq!(format!("{value:?}"), "b\"a\\x00b\\xff\\x1b[2J\\n\"");
    assert!(message.options.get(60).is_some_and(|value| value.is_empty()));
}

#[test]
fn every_refusal_names_its_rule() {
    let errors = [
        DhcpError::NoKind,
        DhcpError::Relayed { relay: ADDRESS },
        DhcpError::Source { source: ADDRESS },
        DhcpError::Room { need: 300, have: 0 },
    ];
    for error in errors {
        assert!(error.to_string().ends_with(&format!(": {}", error.rule())), "{error}");
    }
}

/// A message with everything wrong is mended from its front: each time the next rule speaks.
#[test]
fn the_first_rule_in_order_is_the_verdict() {
    let _shows = shows(&["DC-110"]);
    let mut payload = Draft::plain()
        .raw(&[61, 255])
        .raw(&[1; 255])
        .raw(&[61, 1, 1, 54, 1, 0, 50, 1, 0, 52, 1, 3, 12, 9])
        .at(0, &[2, 6, 16])
        .at(236, &[0; 4])
        .at(108, &[12, 127])
        .at(44, &[12, 63])
        .payload;
    let end = payload.len();
    let mut mended = |at: usize, bytes: &[u8]| {
        payload.splice(at..payload.len().min(at + bytes.len()), bytes.iter().copied());
        Message::parse(&payload).map(drop).expect_err("there is more").rule().to_string()
    };
    assert_eq!(mended(0, &[1]), "DH-003");
    assert_eq!(mended(1, &[1, 6]), "DH-001");
    assert_eq!(mended(236, &[0x63, 0x82, 0x53, 0x63]), "DH-005");
    // In the options, then in file, then in sname.
    assert_eq!(mended(end - 2, &[0, 0]), "DH-005");
    assert_eq!(mended(108, &[0, 0]), "DH-005");
    assert_eq!(mended(44, &[0, 0]), "DH-001");
    assert_eq!(mended(end - 2, &[53, 2, 1, 1]), "DH-009");
    assert_eq!(mended(end - 2, &[53, 1, 1, 0]), "DH-009");
    assert_eq!(mended(end - 8, &[0, 0, 0]), "DH-009");
    assert_eq!(mended(end - 11, &[0, 0, 0]), "DC-112");
}
