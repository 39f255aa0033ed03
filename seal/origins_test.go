package seal

import "testing"

func TestCheckOrigin(t *testing.T) {
	for _, good := range []string{
		"https://licenses.example", "https://licenses.example:8443", "https://xn--mller-kva.example", "https://10.0.0.1:444", "https://intranet",
		"http://127.0.0.1", "http://127.0.0.1:8080", "http://[::1]:8080", "http://localhost:8080", "https://localhost",
	} {
		if err := CheckOrigin(good); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "null", "*", "https://", "https://*", "https://*.licenses.example", "https://.licenses.example", "https://licenses.example.", "licenses.example",
		"HTTPS://licenses.example", "https://Licenses.example", "https://licenses.example/", "https://licenses.example?", "https://a@licenses.example",
		"https://licenses.example:443", "https://licenses.example:0", "https://licenses.example:", "https://licenses.example:08443", "https://licenses.example:65536",
		"https://licenses.example:+1", "http://licenses.example", "http://localhost:80", "http://127.0.0.1.example", "http://127.1", "https://127.1", "https://1.2.3.256",
		"https://01.2.3.4", "https://0x7f.1", "https://[::2]", "https://[::1", "https://::1", "http://[0:0:0:0:0:0:0:1]", "https://-a.example", "https://müller.example",
		"file://", "ftp://licenses.example", "https://licenses.example\n", " https://licenses.example", "https://licenses.example https://other.example",
		"http://licenses.example:127.0.0.1",
	} {
		if CheckOrigin(bad) == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
