//! The other ends of suspects, on this host or not.

use super::*;

#[test]
fn both_ends_on_one_host_name_each_other() {
    let server = held(socket(1, CLOSE_WAIT, SERVER, CLIENT), 10, 7);
    let client = held(socket(2, FIN_WAIT2, CLIENT, SERVER), 20, 3);
    for netns in [7, 8] {
        let both = look(&[server, in_netns(client, netns)]);
        let pid = |suspect: &Suspect| match suspect.peer {
            Peer::Here(Some(process)) => process.pid,
            other => panic!("{other:?}"),
        };
        let of = |verdict| both.iter().find(|suspect| suspect.verdict == verdict).unwrap();
        assert_eq!(pid(of(Verdict::Unclosed)), 20);
        assert_eq!(pid(of(Verdict::HalfClosed)), 10);
    }
}

#[test]
fn the_same_addresses_in_two_namespaces_are_not_mixed_up() {
    let server = held(socket(1, CLOSE_WAIT, "127.0.0.1:80", "127.0.0.1:4000"), 10, 7);
    let client = |sock, pid, netns| {
        in_netns(held(socket(sock, FIN_WAIT2, "127.0.0.1:4000", "127.0.0.1:80"), pid, 3), netns)
    };
    let peer_of_server = |found: &[Found]| {
        let suspects = look(found);
        suspects.iter().find(|suspect| suspect.verdict == Verdict::Unclosed).unwrap().peer
    };
    let owner = |peer| if let Peer::Here(Some(process)) = peer { process.pid } else { panic!("{peer:?}") };
    assert_eq!(owner(peer_of_server(&[server, client(2, 20, 8), client(3, 30, 7)])), 30);
    let listed = Found { head: Head { flags: 0, ..server.head }, ..server };
    assert_eq!(
        peer_of_server(&[server, listed, client(2, 20, 8)]),
        Peer::Gone,
        "loopback never leaves its namespace"
    );
    assert_eq!(
        peer_of_server(&[server, client(2, 20, 8)]),
        Peer::Unknown,
        "nobody looked into its namespace: a peer without a descriptor is not seen"
    );
    let two = [
        held(socket(1, CLOSE_WAIT, SERVER, CLIENT), 10, 7),
        in_netns(held(socket(2, FIN_WAIT2, CLIENT, SERVER), 20, 3), 8),
        in_netns(held(socket(3, FIN_WAIT2, CLIENT, SERVER), 30, 3), 9),
    ];
    assert_eq!(peer_of_server(&two), Peer::Unknown);
}

#[test]
fn a_peer_in_fin_wait_1_is_not_gone() {
    let listed = socket(1, CLOSE_WAIT, "127.0.0.1:80", "127.0.0.1:4000");
    let server = held(listed, 10, 7);
    assert_eq!(only(&[server, listed]).peer, Peer::Gone);
    let client = alone(socket(2, FIN_WAIT1, "127.0.0.1:4000", "127.0.0.1:80"));
    assert_eq!(only(&[server, listed, client]).peer, Peer::Here(None));
}

/// What is said of the peer of the first socket, which its namespace lists.
#[track_caller]
fn peer_of_first(found: &[Found]) -> Peer {
    let suspects = look(found);
    suspects.iter().find(|suspect| suspect.connection.cookie == found[0].head.cookie).unwrap().peer
}

#[test]
fn a_peer_that_knows_it_by_another_end_is_not_gone() {
    // Destination NAT leads what goes to port 80 to 8080. Either end may have closed first.
    let client = |state| socket(1, state, "127.0.0.1:4000", "127.0.0.1:80");
    let server = |state| socket(2, state, "127.0.0.1:8080", "127.0.0.1:4000");
    let listener = listener(3, "127.0.0.1:8080", 10, 0);
    assert_eq!(peer_of_first(&[client(CLOSE_WAIT), listener]), Peer::Gone);
    assert_eq!(peer_of_first(&[server(CLOSE_WAIT), listener]), Peer::Gone);
    for state in [FIN_WAIT1, FIN_WAIT2] {
        assert_eq!(peer_of_first(&[client(CLOSE_WAIT), server(state), listener]), Peer::Unknown);
        assert_eq!(peer_of_first(&[server(CLOSE_WAIT), client(state), listener]), Peer::Unknown);
    }
    let elsewhere = in_netns(server(FIN_WAIT2), 8);
    assert_eq!(peer_of_first(&[client(CLOSE_WAIT), elsewhere]), Peer::Gone, "loopback is a namespace's own");
    let client = socket(1, CLOSE_WAIT, "10.0.0.1:4000", "10.0.0.1:80");
    let container = in_netns(socket(2, FIN_WAIT2, "10.1.0.1:8080", "10.0.0.1:4000"), 8);
    assert_eq!(peer_of_first(&[client]), Peer::Gone);
    assert_eq!(peer_of_first(&[client, container]), Peer::Unknown, "led to a container");
}

#[test]
fn the_ends_of_other_connections_keep_nobody_from_being_gone() {
    let listener = listener(9, "10.0.0.1:80", 10, 0);
    let (server, client) = ("10.0.0.1:80", "10.0.0.1:4000");
    let waits = socket(1, CLOSE_WAIT, server, client);
    // Another client of the server; a client of another port from the same one, with its peer.
    let others = [
        socket(2, FIN_WAIT1, "10.0.0.1:4001", server),
        socket(3, FIN_WAIT2, client, "10.0.0.1:90"),
        socket(4, CLOSE_WAIT, "10.0.0.1:90", client),
    ];
    assert_eq!(peer_of_first(&[waits, listener, others[0], others[1], others[2]]), Peer::Gone);
    // A client of a server that has closed a connection to another host.
    let waits = socket(1, CLOSE_WAIT, client, server);
    let far = socket(2, FIN_WAIT2, server, "10.0.0.9:4000");
    assert_eq!(peer_of_first(&[waits, listener, far]), Peer::Gone);
}

#[test]
fn an_orphan_in_a_mini_socket_waits_for_its_peer() {
    let mut client = socket(2, FIN_WAIT2, CLIENT, SERVER);
    client.head.flags = flag::MINI | flag::ORPHAN;
    client.gauge.expires = JIFFIES + 250 * 50;
    let server = held(socket(1, CLOSE_WAIT, SERVER, CLIENT), 10, 7);
    let suspects = look(&[server, client]);
    let orphan = suspects.iter().find(|suspect| suspect.facts.state == State::FinWait2).unwrap();
    assert_eq!(orphan.facts.keeper, Keeper::Nobody);
    assert!(!orphan.verdict.is_leak());
    assert!(matches!(orphan.peer, Peer::Here(Some(process)) if process.pid == 10));
}
