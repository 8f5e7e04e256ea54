package stack

import (
	"fmt"
	"strings"
	"time"
)

// announce prints the addresses, commands to try, and the line "ready …" that scripts read.
func (s *Stack) announce() error {
	api := "http://" + s.APIAddr
	receiver := "-"
	if s.receiver != nil {
		receiver = s.receiver.URL
	}
	key := s.AdminKey.Reveal()
	var b strings.Builder
	fmt.Fprintf(&b, "\nGrapnel is ready after %.1f s.\n\n", time.Since(s.begin).Seconds())
	for _, line := range [][2]string{
		{"API", api},
		// The key is in the fragment: the browser does not send it, and the console takes it out of the address.
		{"console", api + "/console/#token=" + key},
		{"docs", api + "/docs/"},
		{"Temporal Web UI", s.ui.URL},
		{"receiver", receiver},
		{"API key", key},
		{"logs", s.State.Path("*.log")},
	} {
		fmt.Fprintf(&b, "  %-16s %s\n", line[0], line[1])
	}
	if s.receiver != nil {
		fmt.Fprintf(&b, "\nTry, in another terminal:\n\n%s\n", s.examples(api, key))
	}
	fmt.Fprintf(&b, "Stop with Ctrl-C; the state is kept. What the receiver gets is printed here.\n\n")
	fmt.Fprintf(&b, "ready api=%s docs=%s ui=%s receiver=%s key=%s temporal=%s postgres=%s pid_api=%d pid_worker=%d pid_temporal=%d pid_postgres=%d",
		api, api+"/docs/", s.ui.URL, receiver, key, s.TemporalAddr, withoutPassword(s.PostgresURL),
		s.Grapnel.apiPID, s.Grapnel.workerPID, s.Grapnel.temporalPID, s.postgresPID)
	if s.Pgbouncer {
		fmt.Fprintf(&b, " pgbouncer=%s", withoutPassword(s.storeURL))
	}
	b.WriteString("\n")
	_, err := fmt.Fprint(s.stdout, b.String())
	return err
}

// examples returns five commands to paste into one shell, one after another.
func (s *Stack) examples(api, key string) string {
	auth := "-H 'Authorization: Bearer " + key + "'"
	json := "-H 'Content-Type: application/json'"
	return strings.Join([]string{
		"# 1. create a webhook to the sample receiver",
		fmt.Sprintf(`HOOK=$(curl -s %s/v1/webhooks %s %s -d '{"url":"%s/","events":["user.created","payment.*"],"secret":"%s"}' | grep -o 'hook_[0-9a-z]*'); echo $HOOK`,
			api, auth, json, s.receiver.URL, s.State.Secrets.Receiver),
		"# 2. publish an event",
		fmt.Sprintf(`curl -s %s/v1/events %s %s -d '{"type":"user.created","data":{"id":"user_123","name":"John Doe","email":"john@example.com","status":"active"}}'`, api, auth, json),
		"# 3. list the deliveries",
		fmt.Sprintf(`curl -s %s/v1/webhooks/$HOOK/deliveries %s`, api, auth),
		"# 4. send a test",
		fmt.Sprintf(`curl -s -X POST %s/v1/webhooks/$HOOK/test %s`, api, auth),
		"# 5. send the newest delivery once more",
		fmt.Sprintf(`curl -s -X POST %s/v1/deliveries/$(curl -s "%s/v1/webhooks/$HOOK/deliveries?limit=1" %s | grep -o 'del_[0-9a-z]*')/retry %s`, api, api, auth, auth),
		"",
	}, "\n")
}
