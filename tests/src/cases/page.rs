//! The page of `profiler serve`, in a real browser: what ran, where the time went, and what people do with it.

use std::process::Command;

use crate::harness::{Browser, Service, Target, output, screenshots, shared};

/// Keys without a letter, by the code points that WebDriver has for them.
const ENTER: &str = "\u{e007}";
const ESCAPE: &str = "\u{e00c}";
const LEFT: &str = "\u{e012}";
const DOWN: &str = "\u{e015}";

/// What the page works out by itself is right: tested in JavaScript, beside the page.
#[test]
fn what_it_works_out() {
    let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/page");
    let said = output(Command::new("node").args(["--test", "--test-reporter=tap", tests]));
    assert!(said.contains("# fail 0"), "{said}");
    assert!(!said.contains("# pass 0"), "{said}");
}

fn legend(program: &str) -> String {
    format!(
        "[...document.querySelectorAll('#legend button')].find(one => one.textContent.startsWith('{program}'))"
    )
}

/// How many colours the middle of a canvas has.
fn colours(browser: &Browser, selector: &str) -> u64 {
    let script = format!(
        "const canvas = document.querySelector('{selector}');
         const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
         const seen = new Set();
         for (let at = 0; at < pixels.length; at += 4) seen.add(pixels[at] << 16 | pixels[at + 1] << 8 | pixels[at + 2]);
         return seen.size"
    );
    browser.run(&script).as_u64().unwrap()
}

/// Somebody looks at what ran, chooses a program and a time, looks into it, and compares it with another time.
#[test]
fn somebody_looks_around() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let target = Target::spinning("spin-fp");
    let (mut service, client) = Service::listening(folder.path(), &["--window", "1s", "-F", "199"]);
    service.wait_for_windows(3);
    let browser = Browser::start(1300, 1000);
    browser.open(&client.url("/"));
    browser.until(&legend("spin-fp"));
    browser.until("document.querySelectorAll('#top tbody tr').length > 0");
    assert!(colours(&browser, "#chart") > 5);
    assert!(colours(&browser, "#flame canvas") > 5);

    browser.run(&format!("{}.click()", legend("spin-fp")));
    browser.until("location.hash.includes('program=spin-fp')");
    browser.until("document.querySelector('#span').textContent.includes('of spin-fp')");
    browser.until("document.querySelector('#top tbody').textContent.includes('main')");
    browser.screenshot(&screenshots().join("page.png"));

    browser.drag("#chart", 0.4, 0.99);
    browser.until("location.hash.includes('span=')");
    browser.until("/ of CPU/.test(document.querySelector('#span').textContent)");

    browser.click("#search");
    browser.keys("^main$");
    browser.until(
        "/^(9\\d|100)(\\.\\d)? % match/.test(document.querySelector('#matches').textContent)",
    );
    browser.until("location.hash.includes('search=')");

    browser.run("document.querySelector('#flame canvas').focus()");
    browser.keys(&[DOWN, DOWN, ENTER].concat());
    browser.until("document.querySelectorAll('#path li').length >= 2");
    browser.until("/ of CPU, .* of all/.test(document.querySelector('#frame').textContent)");
    browser.keys(&[ESCAPE, ESCAPE, ESCAPE].concat());
    browser.until("document.querySelectorAll('#path li').length === 0");

    browser.click("#by [data-value=binary]");
    browser.until("document.querySelector('#top tbody').textContent.includes('spin-fp')");

    // The whole address says it, for somebody else.
    let link = browser.run("return location.href");
    browser.open("about:blank");
    browser.open(link.as_str().unwrap());
    browser.until("document.querySelector('#by [aria-pressed=true]').textContent === 'Binary'");
    browser.until("document.querySelector('#top tbody').textContent.includes('spin-fp')");

    browser.click("#compare");
    browser.run("document.querySelector('#chart').focus()");
    browser.keys(LEFT);
    browser.until("location.hash.includes('before=')");
    browser.until("document.querySelector('#span').textContent.includes('compared with')");
    browser.until("document.querySelector('#top').classList.contains('compared')");
    browser.prefer("dark");
    browser.screenshot(&screenshots().join("page-compared-dark.png"));
    browser.prefer("light");

    browser.resize(390, 844);
    browser.until("innerWidth === 390");
    browser.until("document.documentElement.scrollWidth <= innerWidth");
    browser.screenshot(&screenshots().join("page-phone.png"));

    let own = client.url("/");
    let others = format!(
        "return performance.getEntriesByType('resource').map(one => one.name).filter(name => !name.startsWith('{own}'))"
    );
    assert_eq!(browser.run(&others).as_array().map(Vec::len), Some(0));
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let download = browser.run("return document.querySelector('#download').getAttribute('href')");
    let profile = client.get(download.as_str().unwrap());
    assert_eq!(profile[..2], [0x1f, 0x8b]);

    service.stop();
    browser.run("dispatchEvent(new PopStateEvent('popstate'))");
    browser.until("!document.querySelector('#trouble').hidden");
    drop(target);
}

/// Before there is anything it says so, and shows the first window by itself when it is there.
#[test]
fn first_window_comes_by_itself() {
    let Some(_turn) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let target = Target::spinning("spin-fp");
    let browser = Browser::start(800, 600);
    let (service, client) = Service::listening(folder.path(), &["--window", "6s", "-F", "99"]);
    browser.open(&client.url("/"));
    browser.until("document.querySelector('#chart-hint').textContent.includes('No window yet')");
    browser.until(&legend("spin-fp"));
    browser.until("document.querySelectorAll('#top tbody tr').length > 0");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    service.stop();
    drop(target);
}
