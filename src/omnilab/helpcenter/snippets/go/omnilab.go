// Package omnilab calls OmniLab with the standard library alone: one token for all goroutines, kept until 80 % of its
// life, renewed once after a 401.
package omnilab

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"
)

const (
	attempts    = 3
	longestWait = 30 * time.Second
)

// Client is safe for use by many goroutines.
type Client struct {
	mutex   sync.Mutex
	token   string
	renewAt time.Time
}

var httpClient = &http.Client{Timeout: 10 * time.Second}

// ListBookings returns the first page of a contact's bookings as JSON.
func (c *Client) ListBookings(externalID string) (json.RawMessage, error) {
	query := url.Values{"external_id": {externalID}}
	return c.call("GET", "/v1/interactions:fetchContactBookings?"+query.Encode(), nil, nil)
}

// CancelBooking cancels a booking and returns it as JSON.
func (c *Client) CancelBooking(externalID, bookingID string) (json.RawMessage, error) {
	key := make([]byte, 16) // what makes it safe to send the call again
	if _, err := rand.Read(key); err != nil {
		return nil, err
	}
	body := map[string]string{"external_id": externalID, "booking_id": bookingID}
	headers := map[string]string{"Idempotency-Key": hex.EncodeToString(key)}
	return c.call("POST", "/v1/interactions:cancelContactBooking", body, headers)
}

func (c *Client) call(method, path string, body any, headers map[string]string) (json.RawMessage, error) {
	refused := ""
	for {
		token, err := c.currentToken(refused)
		if err != nil {
			return nil, err
		}
		sent := map[string]string{"Authorization": "Bearer " + token}
		for name, value := range headers {
			sent[name] = value
		}
		status, answer, err := send(method, path, body, sent)
		if status != http.StatusUnauthorized || refused != "" {
			return answer, err
		}
		refused = token // one retry with a new token, never two
	}
}

// The first goroutine in asks for a token, the others find what it brought.
func (c *Client) currentToken(refused string) (string, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.token != "" && c.token != refused && time.Now().Before(c.renewAt) {
		return c.token, nil
	}
	asked := time.Now()
	_, body, err := send("POST", "/v1/oauth:token", map[string]string{
		"client_id":     os.Getenv("OMNILAB_CLIENT_ID"),
		"client_secret": os.Getenv("OMNILAB_CLIENT_SECRET"),
		"audience":      os.Getenv("OMNILAB_AUDIENCE"),
		"grant_type":    "client_credentials",
	}, nil)
	if err != nil {
		return "", err
	}
	var answer struct {
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", err
	}
	c.token = answer.AccessToken
	c.renewAt = asked.Add(time.Duration(answer.ExpiresIn) * time.Second * 8 / 10)
	return c.token, nil
}

func send(method, path string, body any, headers map[string]string) (int, json.RawMessage, error) {
	content, err := json.Marshal(body)
	if err != nil {
		return 0, nil, err
	}
	for attempt := 1; ; attempt++ {
		request, err := http.NewRequest(method, os.Getenv("OMNILAB_BASE_URL")+path, nil)
		if err != nil {
			return 0, nil, err
		}
		if body != nil {
			request.Body = io.NopCloser(bytes.NewReader(content))
			request.ContentLength = int64(len(content))
			request.Header.Set("Content-Type", "application/json")
		}
		for name, value := range headers {
			request.Header.Set(name, value)
		}
		answer, err := httpClient.Do(request)
		if err != nil {
			return 0, nil, fmt.Errorf("%s: OmniLab was not reached", method) // err names the contact's id
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		wait := time.Second
		if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil {
			wait = time.Duration(seconds) * time.Second
		}
		passing := answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusServiceUnavailable
		if !passing || wait > longestWait || attempt == attempts {
			if err == nil && answer.StatusCode >= 300 {
				err = refusal(answer, text)
			}
			return answer.StatusCode, text, err
		}
		time.Sleep(wait)
	}
}

// The text is safe to log: no token, no secret, no address with a contact's id.
func refusal(answer *http.Response, text []byte) error {
	var problem struct{ Code, Error string }
	_ = json.Unmarshal(text, &problem) // not JSON: the status has to do
	return fmt.Errorf("%d %s%s, request %s",
		answer.StatusCode, problem.Code, problem.Error, answer.Header.Get("X-Request-Id"))
}
