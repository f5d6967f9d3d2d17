package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// person is somebody who signs in to the sandbox by a handle. The client keeps cookies and follows redirects.
type person struct {
	handle  string
	browser http.Client
}

func newPerson(handle string) (*person, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &person{handle: handle, browser: http.Client{Jar: jar}}, nil
}

// agree opens an auth URL, signs in, approves, and returns the page that the browser ends on, its body closed.
func (p *person) agree(ctx context.Context, authURL string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, authURL, nil)
	if err != nil {
		return nil, err
	}
	page, err := p.browser.Do(request)
	if err != nil {
		return nil, err
	}
	for _, answers := range []url.Values{
		{"handle": {p.handle}, "pages": {""}},
		{"decision": {"approve"}},
	} {
		if page, err = p.submit(ctx, page, answers); err != nil {
			return nil, err
		}
	}
	return page, page.Body.Close()
}

// submit sends the last form of a page, with these answers among its fields.
func (p *person) submit(ctx context.Context, page *http.Response, answers url.Values) (*http.Response, error) {
	defer page.Body.Close()
	if page.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the sandbox answered %s", page.Status)
	}
	document, err := html.Parse(page.Body)
	if err != nil {
		return nil, err
	}
	form := lastForm(document)
	if form == nil {
		return nil, errors.New("the page has no form")
	}
	action, _ := attribute(form, "action")
	address, err := page.Request.URL.Parse(action)
	if err != nil {
		return nil, err
	}
	fields := fieldsOf(form)
	for name, values := range answers {
		fields[name] = values
	}
	request, err := http.NewRequestWithContext(
		ctx, http.MethodPost, address.String(), strings.NewReader(fields.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return p.browser.Do(request)
}

func lastForm(document *html.Node) (form *html.Node) {
	for node := range document.Descendants() {
		if node.DataAtom == atom.Form {
			form = node
		}
	}
	return form
}

func fieldsOf(form *html.Node) url.Values {
	fields := url.Values{}
	for node := range form.Descendants() {
		if node.DataAtom != atom.Input {
			continue
		}
		kind, _ := attribute(node, "type")
		_, checked := attribute(node, "checked")
		if kind == "checkbox" && !checked {
			continue
		}
		name, _ := attribute(node, "name")
		value, _ := attribute(node, "value")
		fields.Add(name, value)
	}
	return fields
}

func attribute(node *html.Node, name string) (value string, present bool) {
	for _, attr := range node.Attr {
		if attr.Key == name {
			return attr.Val, true
		}
	}
	return "", false
}
