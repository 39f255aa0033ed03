package sdk_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"licet/sdk"
	"licet/sdktest"
)

// consumer builds the smallest licensed program.
func consumer(t testing.TB) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "consumer")
	build := exec.Command("go", "build", "-o", program, "./testdata/consumer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// TestModulesInAProgram holds what a customer's program inherits to the
// committed list.
func TestModulesInAProgram(t *testing.T) {
	out, err := exec.Command("go", "version", "-m", consumer(t)).Output()
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	for line := range strings.Lines(string(out)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "dep" {
			got.WriteString(fields[1] + "\n")
		}
	}
	want, err := os.ReadFile("testdata/modules.txt")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("modules compiled into a program:\n%swant, by testdata/modules.txt:\n%s", got.Bytes(), want)
	}
}

// TestProgram runs a real program on the real machine's traits, with the home
// in the environment.
func TestProgram(t *testing.T) {
	v := sdktest.New(t, catalog...)
	m := v.Machine(t)
	trust := filepath.Join(t.TempDir(), "vendor.trust")
	if err := os.WriteFile(trust, v.Trust(), 0o600); err != nil {
		t.Fatal(err)
	}
	program := exec.Command(consumer(t), trust, "FREE")
	program.Env = append(os.Environ(), "LICET_HOME="+m.Home())
	out, err := program.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), string(sdk.NoLicense)+" ") {
		t.Errorf("%v\n%s", err, out)
	}
}
