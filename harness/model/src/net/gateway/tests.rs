use super::*;

const GUEST: [u8; 6] = [2, 0, 0, 0, 0, 1];
const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xfe];
const GATEWAY: [u8; 4] = [169, 254, 0, 1];
const LEASE: [u8; 4] = [192, 0, 2, 10];

fn gateway() -> Gateway {
    Gateway::new(Config {
        mac: MAC,
        owned: vec![GATEWAY],
        guest: vec![LEASE],
        strict: false,
        proxy: false,
        broadcasts: false,
        defends: false,
        mtu: 1500,
        room: 2048,
        burst: 2,
        per_second: 1,
    })
}

fn arp(op: u8, spa: [u8; 4], tpa: [u8; 4]) -> Vec<u8> {
    let front = [&[0xff; 6][..], &GUEST, &[8, 6, 0, 1, 8, 0, 6, 4, 0, op], &GUEST].concat();
    [&front[..], &spa, &[0; 6], &tpa].concat()
}

#[test]
fn a_probe_for_the_gateway_is_answered_as_the_vector_says() {
    let front = [&GUEST[..], &MAC, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 2], &MAC].concat();
    let reply = [&front[..], &GATEWAY, &GUEST, &[0; 4]].concat();
    assert_eq!(gateway().frame(&arp(1, [0; 4], GATEWAY), false, 0), Said::Reply(reply));
}

#[test]
fn each_row_of_the_table_has_its_answer() {
    let said = |op, spa, tpa| gateway().frame(&arp(op, spa, tpa), false, 0);
    assert!(matches!(said(1, LEASE, GATEWAY), Said::Reply(_)));
    assert_eq!(said(1, [0; 4], LEASE), Said::Silent(Id::Ar(5)));
    assert_eq!(said(1, [0; 4], [10, 0, 0, 9]), Said::Silent(Id::Ar(12)));
    assert_eq!(said(1, LEASE, LEASE), Said::Silent(Id::Ar(6)));
    assert_eq!(said(2, LEASE, GATEWAY), Said::Silent(Id::Ar(6)));
    assert_eq!(said(3, LEASE, GATEWAY), Said::Silent(Id::Ar(9)));
    assert_eq!(said(1, LEASE, [10, 0, 0, 9]), Said::Silent(Id::Ar(2)));
    assert_eq!(said(1, GATEWAY, LEASE), Said::Refused(Id::Ar(17)));
}

#[test]
fn replies_come_back_with_time() {
    let mut gateway = gateway();
    let request = arp(1, LEASE, GATEWAY);
    assert!(matches!(gateway.frame(&request, false, 0), Said::Reply(_)));
    assert!(matches!(gateway.frame(&request, false, 0), Said::Reply(_)));
    assert_eq!(gateway.frame(&request, false, 999), Said::Refused(Id::L2(13)));
    assert!(matches!(gateway.frame(&request, false, 1000), Said::Reply(_)));
    assert_eq!(gateway.frame(&request, false, 1000), Said::Refused(Id::L2(13)));
}
