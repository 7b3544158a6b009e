//! Which kernel members the programs need, and where the running kernel has them.

use anyhow::{Result, bail};
use tcplife_common::layout::{ABSENT, Layout};

use super::btf::{KernelTypes, VMLINUX, Wanted};

/// Whether there can be a trace without a member.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    /// No: its absence is an error that names it.
    Required,
    /// Yes: one thing is missing then, and the programs test for [`ABSENT`].
    Optional,
}

use Need::{Optional, Required};

/// Each field of [`Layout`] with its struct and member.
const MEMBERS: [(&str, &str, &str, Need); 56] = [
    ("skc_daddr", "sock_common", "skc_daddr", Required),
    ("skc_rcv_saddr", "sock_common", "skc_rcv_saddr", Required),
    ("skc_hash", "sock_common", "skc_hash", Required),
    ("skc_dport", "sock_common", "skc_dport", Required),
    ("skc_num", "sock_common", "skc_num", Required),
    ("skc_family", "sock_common", "skc_family", Required),
    ("skc_state", "sock_common", "skc_state", Required),
    ("skc_net", "sock_common", "skc_net", Required),
    ("skc_v6_daddr", "sock_common", "skc_v6_daddr", Required),
    ("skc_v6_rcv_saddr", "sock_common", "skc_v6_rcv_saddr", Required),
    ("skc_cookie", "sock_common", "skc_cookie", Required),
    ("skc_nulls_node", "sock_common", "skc_nulls_node", Required),
    ("sk_protocol", "sock", "sk_protocol", Required),
    ("sk_type", "sock", "sk_type", Required),
    ("sk_socket", "sock", "sk_socket", Required),
    ("sk_err", "sock", "sk_err", Required),
    ("sk_lock_owned", "sock", "sk_lock.owned", Required),
    ("inet_sport", "inet_sock", "inet_sport", Required),
    ("bytes_sent", "tcp_sock", "bytes_sent", Required),
    ("bytes_retrans", "tcp_sock", "bytes_retrans", Required),
    ("bytes_received", "tcp_sock", "bytes_received", Required),
    ("total_retrans", "tcp_sock", "total_retrans", Required),
    ("srtt_us", "tcp_sock", "srtt_us", Required),
    ("net_inum", "net", "ns.inum", Required),
    ("net_hashinfo", "net", "ipv4.tcp_death_row.hashinfo", Optional),
    ("ehash", "inet_hashinfo", "ehash", Optional),
    ("ehash_mask", "inet_hashinfo", "ehash_mask", Optional),
    ("tw_substate", "inet_timewait_sock", "tw_substate", Optional),
    ("tw_expires", "inet_timewait_sock", "tw_timer.expires", Optional),
    ("task_tgid", "task_struct", "tgid", Required),
    ("task_group_leader", "task_struct", "group_leader", Required),
    ("task_flags", "task_struct", "flags", Required),
    ("task_comm", "task_struct", "comm", Required),
    ("task_start_boottime", "task_struct", "start_boottime", Optional),
    ("snt_synack", "tcp_request_sock", "snt_synack", Optional),
    ("skc_flags", "sock_common", "skc_flags", Required),
    ("sk_ack_backlog", "sock", "sk_ack_backlog", Required),
    ("sk_max_ack_backlog", "sock", "sk_max_ack_backlog", Required),
    ("lrcvtime", "inet_connection_sock", "icsk_ack.lrcvtime", Required),
    ("rcv_nxt", "tcp_sock", "rcv_nxt", Required),
    ("copied_seq", "tcp_sock", "copied_seq", Required),
    ("write_seq", "tcp_sock", "write_seq", Required),
    ("snd_una", "tcp_sock", "snd_una", Required),
    ("rcv_tstamp", "tcp_sock", "rcv_tstamp", Required),
    ("lsndtime", "tcp_sock", "lsndtime", Required),
    ("tcp_mstamp", "tcp_sock", "tcp_mstamp", Required),
    ("socket_sk", "socket", "sk", Required),
    ("file_inode", "file", "f_inode", Required),
    ("file_private_data", "file", "private_data", Required),
    ("inode_mode", "inode", "i_mode", Required),
    // `ns.count` and `count` in earlier kernels.
    ("net_references", "net", "ns.__ns_ref", Optional),
    ("net_fin_timeout", "net", "ipv4.sysctl_tcp_fin_timeout", Optional),
    ("tw_ts_recent_stamp", "tcp_timewait_sock", "tw_ts_recent_stamp", Optional),
    ("tw_entry_stamp", "inet_timewait_sock", "tw_entry_stamp", Optional),
    ("mptcp_first", "mptcp_sock", "first", Optional),
    ("num_retrans", "request_sock", "num_retrans", Optional),
];

/// What a member is called in other kernels.
fn renamed(member: &str) -> &'static [&'static str] {
    match member {
        "ns.__ns_ref" => &["ns.count", "count"],
        _ => &[],
    }
}

/// The struct that a bucket of the kernel's hash of connections is.
const BUCKET: &str = "inet_ehash_bucket";

/// The types that are asked for.
pub fn wanted() -> impl Iterator<Item = Wanted> {
    MEMBERS.iter().map(|row| row.1).chain([BUCKET]).map(Wanted::Struct)
}

/// Finds every member's offset.
///
/// # Errors
/// A required member is not there: the sentence names all that are missing.
pub fn resolve(types: &KernelTypes) -> Result<Layout> {
    let mut missing = Vec::new();
    let layout = Layout::from_fn(|field| {
        if field == "ehash_bucket_size" {
            return types.size_of(BUCKET).unwrap_or(ABSENT);
        }
        let Some(&(_, structure, member, need)) = MEMBERS.iter().find(|row| row.0 == field) else {
            return ABSENT;
        };
        let mut names = [member].into_iter().chain(renamed(member).iter().copied());
        let offset = names.find_map(|name| types.offset_of(structure, name));
        if offset.is_none() && need == Required {
            missing.push(format!("{structure}.{member}"));
        }
        offset.unwrap_or(ABSENT)
    });
    if !missing.is_empty() {
        let missing = missing.join(", ");
        bail!("this kernel's types in {VMLINUX} lack {missing}; tcplife needs Linux 5.10 or later");
    }
    Ok(layout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_everything() {
        let types = KernelTypes::read(wanted()).expect("this kernel has BTF");
        let layout = resolve(&types).expect("this kernel is supported");
        for (name, offset) in Layout::NAMES.iter().zip(layout.to_words()) {
            assert_ne!(offset, ABSENT, "{name}");
        }
    }
}
