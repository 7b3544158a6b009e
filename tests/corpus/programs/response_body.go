// A client that looks at the status of its responses, and closes their bodies or does not.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func status(url string, faulty bool) (string, error) {
	response, err := http.Get(url)
	if err != nil {
		return "", err
	}
	if !faulty {
		defer response.Body.Close()
	}
	return response.Status, nil
}

func main() {
	for i := 0; i < 3; i++ {
		if _, err := status("http://127.0.0.1:8000/", os.Args[1] == "faulty"); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Println("idle")
	io.Copy(io.Discard, os.Stdin)
}
