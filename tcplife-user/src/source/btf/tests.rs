use aya_obj::btf::BtfKind;

use super::*;

fn running(wanted: &[Wanted]) -> KernelTypes {
    KernelTypes::read(wanted.iter().cloned()).expect("this kernel has BTF")
}

#[test]
fn members_are_found_through_anonymous_ones_and_paths() {
    let names = ["sock_common", "sock", "net", "no_such_struct"];
    let types = running(&names.map(Wanted::Struct));
    assert_eq!(types.offset_of("sock_common", "skc_daddr"), Some(0));
    assert_eq!(types.offset_of("sock_common", "skc_rcv_saddr"), Some(4));
    assert_eq!(types.offset_of("sock_common", "skc_dport"), Some(12));
    assert!(types.offset_of("sock", "sk_lock.owned").is_some());
    assert!(types.offset_of("net", "ipv4.tcp_death_row.hashinfo").is_some());
    assert_eq!(types.offset_of("sock_common", "no_such_member"), None);
    assert_eq!(types.offset_of("sock_common", "skc_daddr.through_no_struct"), None);
    assert_eq!(types.offset_of("no_such_struct", "skc_daddr"), None);
    assert!(types.size_of("sock").is_some_and(|size| size > 500));
}

#[test]
fn tracepoints_and_functions_tell_their_arguments() {
    let types = running(&[
        Wanted::Tracepoint("inet_sock_set_state"),
        Wanted::Tracepoint("no_such_tracepoint"),
        Wanted::Function("tcp_close"),
        Wanted::Function("no_such_function"),
    ]);
    assert_eq!(types.tracepoint_arguments("inet_sock_set_state"), Some(3));
    assert_eq!(types.tracepoint_arguments("no_such_tracepoint"), None);
    assert_eq!(types.function_arguments("tcp_close"), Some(2));
    assert!(types.has_function("tcp_close") && !types.has_function("no_such_function"));
}

#[test]
fn targets_have_the_numbers_that_aya_finds_by_itself() {
    let attached = [
        Wanted::Tracepoint("inet_sock_set_state"),
        Wanted::Iterator("tcp"),
        Wanted::Function("inet_twsk_kill"),
        Wanted::Function("no_such_function"),
    ];
    let types = running(&attached);
    let (targets, all) = (types.targets(&attached).unwrap(), Btf::from_sys_fs().unwrap());
    let number = |btf: &Btf, name: &str, kind| btf.id_by_type_name_kind(name, kind).ok();
    for (name, kind) in [
        ("btf_trace_inet_sock_set_state", BtfKind::Typedef),
        ("bpf_iter_tcp", BtfKind::Func),
        ("inet_twsk_kill", BtfKind::Func),
    ] {
        assert!(number(&all, name, kind).is_some(), "{name}");
        assert_eq!(number(&targets, name, kind), number(&all, name, kind), "{name}");
    }
}

#[test]
fn what_is_not_btf_is_an_error() {
    let of = |bytes: &[u8]| KernelTypes::of(Bytes::Copied(bytes.to_vec()), [Wanted::Struct("sock")]);
    let whole = raw::file(&[short([0, number::FWD << 24, 0])], &[0]).unwrap();
    assert!(of(&whole).is_ok());
    for length in 0..whole.len() {
        assert!(of(&whole[..length]).is_err(), "{length} bytes");
    }
    assert!(of(&[0; 64]).is_err());
    let unknown = raw::file(&[short([0, 99 << 24, 0])], &[0]).unwrap();
    assert!(of(&unknown).is_err());
    // A struct with more members than there are bytes.
    let cut = raw::file(&[short([0, 4 << 24 | 1, 0])], &[0]).unwrap();
    assert_eq!(of(&cut).unwrap().size_of("sock"), None);
}

#[test]
fn a_type_that_refers_to_itself_ends() {
    let itself =
        raw::file(&[[1, 4 << 24 | 1, 8], [0, 1, 0], [0, number::TYPEDEF << 24, 2]].map(short), b"\0sock\0");
    let types = KernelTypes::of(Bytes::Copied(itself.unwrap()), [Wanted::Struct("sock")]).unwrap();
    assert_eq!(types.offset_of("sock", "member"), None);
}

#[test]
fn names_are_told_apart_by_their_beginnings() {
    assert_eq!(raw::beginning(b"net"), raw::beginning(b"net\0sock\0"));
    assert_ne!(raw::beginning(b"net"), raw::beginning(b"netns"));
    assert_eq!(raw::beginning(b"sock_common"), raw::beginning(b"sock_comm"));
    assert_eq!(raw::beginning(b""), raw::beginning(b"\0net\0sock"));
}
