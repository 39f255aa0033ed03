package pgtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) {
	if os.Getenv("PGTEST_ORPHAN") != "" {
		s, err := newServer("off")
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(s.dir)
		select {}
	}
	Main(m)
}

func query(t *testing.T, url, statement string) string {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var s string
	if err := conn.QueryRow(ctx, statement).Scan(&s); err != nil {
		t.Fatal(err)
	}
	return s
}

func execute(t *testing.T, url, statements string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statements); err != nil {
		t.Fatal(err)
	}
}

func TestURLIsFresh(t *testing.T) {
	a, b := URL(t), URL(t)
	if a == b {
		t.Fatalf("two calls gave the same database %s", a)
	}
	execute(t, a, "CREATE TABLE x (a TEXT)")
	if got := query(t, b, "SELECT count(*)::text FROM pg_tables WHERE tablename = 'x'"); got != "0" {
		t.Fatal("a table of one database is seen in another")
	}
}

func TestCrashKeepsCommitted(t *testing.T) {
	s := Start(t)
	url := s.URL(t)
	if got := query(t, url, "SHOW fsync"); got != "on" {
		t.Fatalf("fsync is %s", got)
	}
	execute(t, url, "CREATE TABLE x (a TEXT); INSERT INTO x VALUES ('kept')")
	s.Crash(t)
	s.Restart(t)
	if got := query(t, url, "SELECT a FROM x"); got != "kept" {
		t.Fatalf("got %q", got)
	}
}

// A test process that is killed must not leave a server behind.
func TestServerEndsWithItsProcess(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "PGTEST_ORPHAN=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var dir string
	if _, err := fmt.Fscanln(out, &dir); err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	orphan := &Server{dir: dir}
	if got := query(t, orphan.address("postgres"), "SELECT 'up'"); got != "up" {
		t.Fatal(got)
	}
	cmd.Process.Kill()
	cmd.Wait()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(dir + "/data/postmaster.pid"); os.IsNotExist(err) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the server is still there 20 s after its process was killed")
		}
	}
}
