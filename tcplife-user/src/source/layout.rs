//! Which kernel members the programs need, and where the running kernel has them.

use std::fmt::Write as _;

use anyhow::{Result, bail};
use tcplife_common::layout::{ABSENT, Layout};

use super::btf::{KernelTypes, VMLINUX};

/// A member without which nothing works; its absence is an error that names it.
const REQUIRED: bool = true;
/// A member without which one thing is missing: the programs test for [`ABSENT`].
const OPTIONAL: bool = false;

/// Finds every member's offset.
///
/// # Errors
/// A required member is not there: the sentence names all that are missing.
pub fn resolve(types: &KernelTypes) -> Result<Layout> {
    let mut missing = String::new();
    let mut find = |structure: &str, path: &str, required: bool| {
        types.offset_of(structure, path).unwrap_or_else(|| {
            if required {
                let _ = write!(missing, " {structure}.{path}");
            }
            ABSENT
        })
    };
    let layout = Layout {
        skc_daddr: find("sock_common", "skc_daddr", REQUIRED),
        skc_rcv_saddr: find("sock_common", "skc_rcv_saddr", REQUIRED),
        skc_hash: find("sock_common", "skc_hash", REQUIRED),
        skc_dport: find("sock_common", "skc_dport", REQUIRED),
        skc_num: find("sock_common", "skc_num", REQUIRED),
        skc_family: find("sock_common", "skc_family", REQUIRED),
        skc_state: find("sock_common", "skc_state", REQUIRED),
        skc_net: find("sock_common", "skc_net", REQUIRED),
        skc_v6_daddr: find("sock_common", "skc_v6_daddr", REQUIRED),
        skc_v6_rcv_saddr: find("sock_common", "skc_v6_rcv_saddr", REQUIRED),
        skc_cookie: find("sock_common", "skc_cookie", REQUIRED),
        skc_nulls_node: find("sock_common", "skc_nulls_node", REQUIRED),
        sk_protocol: find("sock", "sk_protocol", REQUIRED),
        sk_socket: find("sock", "sk_socket", REQUIRED),
        sk_err: find("sock", "sk_err", REQUIRED),
        sk_lock_owned: find("sock", "sk_lock.owned", OPTIONAL),
        inet_sport: find("inet_sock", "inet_sport", REQUIRED),
        bytes_sent: find("tcp_sock", "bytes_sent", REQUIRED),
        bytes_retrans: find("tcp_sock", "bytes_retrans", REQUIRED),
        bytes_received: find("tcp_sock", "bytes_received", REQUIRED),
        total_retrans: find("tcp_sock", "total_retrans", REQUIRED),
        srtt_us: find("tcp_sock", "srtt_us", REQUIRED),
        net_inum: find("net", "ns.inum", REQUIRED),
        net_hashinfo: find("net", "ipv4.tcp_death_row.hashinfo", OPTIONAL),
        ehash: find("inet_hashinfo", "ehash", OPTIONAL),
        ehash_mask: find("inet_hashinfo", "ehash_mask", OPTIONAL),
        ehash_bucket_size: types.size_of("inet_ehash_bucket").unwrap_or(ABSENT),
        tw_substate: find("inet_timewait_sock", "tw_substate", OPTIONAL),
        tw_expires: find("inet_timewait_sock", "tw_timer.expires", OPTIONAL),
        task_tgid: find("task_struct", "tgid", REQUIRED),
        task_group_leader: find("task_struct", "group_leader", REQUIRED),
        task_flags: find("task_struct", "flags", REQUIRED),
        task_comm: find("task_struct", "comm", REQUIRED),
        task_start_boottime: find("task_struct", "start_boottime", OPTIONAL),
        snt_synack: find("tcp_request_sock", "snt_synack", OPTIONAL),
        skc_flags: find("sock_common", "skc_flags", REQUIRED),
        sk_shutdown: find("sock", "sk_shutdown", REQUIRED),
        sk_ack_backlog: find("sock", "sk_ack_backlog", REQUIRED),
        sk_max_ack_backlog: find("sock", "sk_max_ack_backlog", REQUIRED),
        icsk_pending: find("inet_connection_sock", "icsk_pending", REQUIRED),
        lrcvtime: find("inet_connection_sock", "icsk_ack.lrcvtime", REQUIRED),
        rcv_nxt: find("tcp_sock", "rcv_nxt", REQUIRED),
        copied_seq: find("tcp_sock", "copied_seq", REQUIRED),
        write_seq: find("tcp_sock", "write_seq", REQUIRED),
        snd_una: find("tcp_sock", "snd_una", REQUIRED),
        rcv_tstamp: find("tcp_sock", "rcv_tstamp", REQUIRED),
        lsndtime: find("tcp_sock", "lsndtime", REQUIRED),
        socket_sk: find("socket", "sk", REQUIRED),
        socket_file: find("socket", "file", REQUIRED),
        file_inode: find("file", "f_inode", REQUIRED),
        file_private_data: find("file", "private_data", REQUIRED),
        file_references: types
            .offset_of("file", "f_count")
            .or_else(|| types.offset_of("file", "f_ref.refcnt"))
            .unwrap_or(ABSENT),
        inode_mode: find("inode", "i_mode", REQUIRED),
        inode_number: find("inode", "i_ino", REQUIRED),
    };
    if !missing.is_empty() {
        bail!("this kernel's types in {VMLINUX} lack{missing}; tcplife needs Linux 5.10 or later");
    }
    Ok(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_everything() {
        let types = KernelTypes::read().expect("this kernel has BTF");
        let layout = resolve(&types).expect("this kernel is supported");
        for (name, offset) in Layout::NAMES.iter().zip(layout.to_bytes().chunks_exact(4)) {
            assert_ne!(offset, ABSENT.to_ne_bytes(), "{name}");
        }
    }
}
