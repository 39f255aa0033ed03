// Package faults breaks the disk under the programs as they are shipped, at every
// system call that changes it. It has tests only.
//
// A program runs under a tracer (ptrace; trace_test.go). A clean run lists its
// points: the calls that create, write, fsync, rename, link, truncate or remove
// something, in order. Then there is one run per point and fault: the process is
// killed before the call or halfway through it, an fsync fails with EIO, a write
// or a new file finds no room. After each run it must hold that the state is the
// old one or the new one, that what was acknowledged is there, and that the same
// input again completes the work (docs/protocol.md section 6).
//
// strace injects faults too, but counts "the n-th call" for each thread and each
// call number on its own; a Go program moves between threads, so that n names
// another call in each run. This tracer counts per process.
//
// What is not broken here: the page cache outlives a killed process, so writes that
// were never fsynced are not lost.
//
// The points are held against testdata/points.txt; -update writes it anew.
// LICET_TEST_LONG=1 takes every point; otherwise of many equal points in a row a
// few are taken.
package faults
