"""Zone files as people write them, and what is wrong with some: read by our loader and by BIND's.

`REFUSED` says where each mistake stands (line and column); `DIFFERS` is what the two judge
otherwise on purpose, with the reason.
"""

HEAD = (
    "$TTL 1h\n@ IN SOA ns hostmaster ( 2026010101 2h 15m 2w 1h )\n@ IN NS ns\nns IN A 192.0.2.1\n"
)

ACCEPTED = {
    "byte order mark": "\ufeff" + HEAD,
    "lines that end as in DOS": HEAD.replace("\n", "\r\n") + "a A 192.0.2.2\r\n",
    "no line end": HEAD + "a A 192.0.2.2",
    "tabs, comments and blank lines": HEAD + "; a remark\n\n\t\na\tIN\tA\t192.0.2.2 ; so\n",
    "the whole SOA in lines": "$ORIGIN example.test.\n$TTL 86400\n@\tIN\tSOA\tns.example.test. "
    "hostmaster.example.test. (\n\t\t\t2026010101\t; serial\n\t\t\t7200 ; refresh\n\t\t\t900\n"
    "\t\t\t1209600\n\t\t\t3600 )\n\tIN\tNS\tns\nns\tA\t192.0.2.1\n",
    "no $TTL: the SOA's minimum": "@ IN SOA ns h 1 2h 15m 2w 1h\n NS ns\nns A 192.0.2.1\n",
    "TTLs in units": HEAD + "a 1h30m IN A 192.0.2.2\nb IN 1W A 192.0.2.2\nc 2D3h4M5s A 192.0.2.2\n",
    "class and TTL in either order": HEAD + "a IN 60 A 192.0.2.2\nb 60 IN A 192.0.2.2\n",
    "blank owners": HEAD + "a A 192.0.2.2\n  A 192.0.2.3\n\tTXT x\n",
    "@ within data": HEAD + "www CNAME @\n@ MX 10 @\n@ A 192.0.2.3\n",
    "origins": HEAD + "$ORIGIN sub.example.test.\nwww A 192.0.2.2\n$ORIGIN example.test.\nb CNAME "
    "www.sub\n$ORIGIN deeper\nc A 192.0.2.2\n",
    "strings": HEAD + 'a TXT "two words; no remark" plain "q\\"uote" "\\000\\255"\n'
    'b TXT ( "v=spf1 mx"\n  " -all" )\nc TXT ""\n',
    "escapes in names": HEAD + "a\\.b A 192.0.2.2\nst\\097r A 192.0.2.3\nx._y A 192.0.2.4\n",
    "nested parentheses": HEAD + "a TXT ( one ( two )\n three )\n",
    "unknown types": HEAD + "a TYPE65280 \\# 4 0a000001\nb TYPE65281 \\# 0\nc A \\# 4 c0000202\n",
    "types that mail uses": HEAD
    + '@ MX 10 mx\nmx A 192.0.2.4\nmx AAAA 2001:db8::4\n@ CAA 0 issue "ca.test"\n'
    "_25._tcp.mx TLSA 3 1 1 " + "ab" * 32 + "\n_submission._tcp SRV 0 1 587 mx\n"
    "mx SSHFP 4 2 " + "cd" * 32 + '\n@ NAPTR 100 10 "S" "SIP+D2U" "" _sip._udp\n',
    "a signed zone's types": HEAD
    + "@ DNSKEY 257 3 8 AwEAAQ==\n@ NSEC3PARAM 1 0 0 -\na A 192.0.2.2\n"
    "a NSEC ns A NSEC RRSIG\n"
    "a RRSIG A 8 3 3600 20370101000000 20260101000000 12345 @ aGVsbG8=\n",
    "places and services": HEAD
    + "a LOC 52 14 05 N 00 08 50 W 10m\nb HTTPS 1 . alpn=\"h2,h3\" port=8443\nc SVCB 0 ns\n"
    "d HTTPS 1 . ipv4hint=192.0.2.1 key65000=x mandatory=ipv4hint\n",
    "an alias that is signed": HEAD + "a CNAME ns\na NSEC ns CNAME RRSIG NSEC\n",
    "$GENERATE": HEAD + "$GENERATE 1-3 host$ A 192.0.2.$\n$GENERATE 0-4/2 h${1,3,d} CNAME "
    "host${0,1,x}.sub\n$GENERATE 1-2 t$ TXT \\$-$\n",
    "wildcard, delegation with glue": HEAD
    + "*.w MX 10 ns\nsub NS ns.sub\nns.sub A 192.0.2.9\nsub DS 1 8 2 " + "ab" * 32 + "\n",
    "quoted where it may be": HEAD + 'a HINFO "PDP-11" UNIX\n',
    "everything twice": HEAD + "a A 192.0.2.2\na A 192.0.2.2\n",
    "null MX": HEAD + "@ MX 0 .\n",
}  # fmt: skip

REFUSED = {
    "no address": (HEAD + "a A 192.0.2\n", [(5, 5)]),
    "no IPv6 address": (HEAD + "a AAAA 2001:db8::g\n", [(5, 8)]),
    "a number too large": (HEAD + "@ MX 65536 ns\n", [(5, 6)]),
    "a field too few": (HEAD + "@ MX 10\n", [(5, 6)]),
    "a field too many": (HEAD + "a A 192.0.2.2 192.0.2.3\n", [(5, 5)]),
    "no type": (HEAD + "a 60 IN\n", [(5, 6)]),
    "a type that is none": (HEAD + "a BOGUS x\n", [(5, 3)]),
    "another class": (HEAD + "a CH A 192.0.2.2\n", [(5, 3)]),
    "an empty label": (HEAD + "a..b A 192.0.2.2\n", [(5, 1)]),
    "a label too long": (HEAD + f"{'a' * 64} A 192.0.2.2\n", [(5, 1)]),
    "a name too long": (HEAD + f"{'.'.join(['a' * 60] * 5)} A 192.0.2.2\n", [(5, 1)]),
    "an empty label in data": (HEAD + "@ MX 10 a..b\n", [(5, 9)]),
    "an escape that is no octet": (HEAD + "a\\999 A 192.0.2.2\n", [(5, 1)]),
    "a quote that never ends": (HEAD + 'a TXT "x\nb A 192.0.2.2\n', [(5, 7)]),
    "a parenthesis that never ends": (HEAD + "a TXT ( x\nb A 192.0.2.2\n", [(5, 7)]),
    "a parenthesis never begun": (HEAD + "a TXT x )\n", [(5, 9)]),
    "a string too long": (HEAD + f'a TXT "{"x" * 256}"\n', [(5, 7)]),
    "a TXT of nothing": (HEAD + "a TXT\n", [(5, 1)]),
    "odd hexadecimal": (HEAD + "a TLSA 3 1 1 abc\n", [(5, 14)]),
    "a length that is another": (HEAD + "a TYPE65280 \\# 4 0a00\n", [(5, 13)]),
    "data that do not fit the type": (HEAD + "a A \\# 3 0a0000\n", [(5, 5)]),
    "a directive that is none": (HEAD + "$ORIGINS x.\n", [(5, 1)]),
    "$TTL of nothing": (HEAD + "$TTL\n", [(5, 1)]),
    "$GENERATE of no range": (HEAD + "$GENERATE 5-x h$ A 192.0.2.$\n", [(5, 1)]),
    "no SOA": ("$TTL 60\n@ NS ns\nns A 192.0.2.1\n", []),
    "two SOAs": (HEAD + "@ SOA ns h 2 1 1 1 1\n", []),
    "an alias beside data": (HEAD + "a CNAME ns\na A 192.0.2.2\n", [(5, 1)]),
    "two aliases": (HEAD + "a A 192.0.2.2\nb CNAME a\nb CNAME ns\n", [(7, 1)]),
    "the first record without owner": (" SOA ns h 1 1 1 1 1\n", [(1, 2)]),
    "a record that is for questions": (HEAD + "a AXFR \\# 0\n", [(5, 3)]),
    "an OPT": (HEAD + "a OPT \\# 0\n", [(5, 3)]),
    "no number": (HEAD + "a SRV x 0 25 ns\n", [(5, 7)]),
    "no base64": (HEAD + "a DNSKEY 257 3 8 !!\n", [(5, 18)]),
    "no time": (HEAD + "a RRSIG A 8 3 60 20361301000000 1 1 @ aGVs\n", [(5, 18)]),
    "three mistakes at once": (
        HEAD + "a A 1.2.3\nb A 192.0.2.2\nc MX mx\n\n  TXT (\n  \"x\" )\nd BOGUS\n",
        [(5, 5), (7, 6), (11, 3)],
    ),
}  # fmt: skip

DIFFERS = {  # zone text, whether we take it, and why BIND judges otherwise
    "out of the zone": (
        HEAD + "a.other.test. A 192.0.2.2\n", False, "BIND drops the record with a warning",
    ),
    "no NS": (
        "$TTL 60\n@ SOA ns h 1 1 1 1 1\n", True, "served with a warning: a lab may want to show it",
    ),
    "a server without address": (
        HEAD + "@ NS ns2\n", True, "served with a warning: a lab may want to show it",
    ),
    "null MX beside others": (
        HEAD + "@ MX 0 .\n@ MX 10 ns\n", False, "RFC 7505 §3 forbids it",
    ),
    "DNAME": (HEAD + "a DNAME b\n", False, "redirection is not served here"),
    "$INCLUDE": (HEAD + "$INCLUDE /dev/null\n", False, "a zone is one text here"),
    "an alias that an exchange is": (HEAD + "@ MX 10 w\nw CNAME ns\n", True, "a warning in both"),
    "letters beyond ASCII": (HEAD + "bücher A 192.0.2.2\n", True, "an A-label here, octets there"),
}  # fmt: skip
