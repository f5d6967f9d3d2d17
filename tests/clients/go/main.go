// Command story plays the story of tests/cases/story.yaml: what a backend does on its first day.
//
// Run it with HITCHPOST_ADDRESS, HITCHPOST_TLS_ADDRESS, HITCHPOST_WEB_URL, HITCHPOST_CA_FILE, HITCHPOST_KEY and
// HITCHPOST_STORY set.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc/credentials/insecure"
)

type chapter struct {
	Step string
	Want seen
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	text, err := os.ReadFile(os.Getenv("HITCHPOST_STORY"))
	if err != nil {
		return err
	}
	var chapters []chapter
	if err := yaml.Unmarshal(text, &chapters); err != nil {
		return err
	}
	conn, err := connect(os.Getenv("HITCHPOST_ADDRESS"), insecure.NewCredentials())
	if err != nil {
		return err
	}
	defer conn.Close()
	story := newStory(conn)
	steps := story.steps()
	for _, chapter := range chapters {
		step, known := steps[chapter.Step]
		if !known {
			return fmt.Errorf("step %s is unknown", chapter.Step)
		}
		saw, err := story.play(step)
		if err != nil {
			return fmt.Errorf("step %s: %w", chapter.Step, err)
		}
		if err := compare(saw, chapter.Want); err != nil {
			return fmt.Errorf("step %s: %w", chapter.Step, err)
		}
		fmt.Printf("step %s ok\n", chapter.Step)
	}
	return nil
}

// compare looks only at what the story names. As JSON, values are equal whatever Go types they came in.
func compare(saw, want seen) error {
	named := seen{}
	for name := range want {
		named[name] = saw[name]
	}
	sawJSON, err := json.Marshal(named)
	if err != nil {
		return err
	}
	wantJSON, err := json.Marshal(want)
	if err != nil {
		return err
	}
	if !bytes.Equal(sawJSON, wantJSON) {
		return fmt.Errorf("saw %s, wanted %s", sawJSON, wantJSON)
	}
	return nil
}
