import { h } from '../dom.js';
import { counted } from '../format.js';
import { SurprisePanel } from '../surprise/panel.js';
import { Answers } from './answers.js';
import { LiveText } from './live-text.js';

/** Where the output of a job is shown, by its task: `{ title, element, take, commitTo, takeBack, end }`. */
export function outputOf({ task, questions, segmentTokens }) {
  switch (task) {
    case 'generate':
      return textOutput(new LiveText());
    case 'ask': {
      const answers = new Answers(questions);
      return {
        title: 'Answers',
        element: answers.element,
        take: (record, committed) => answers.take(record, committed),
        commitTo: (position) => answers.commitTo(position),
        takeBack: (to) => answers.takeBack(to),
        end: ({ answers: told }) => {
          if (told === null) return;
          answers.takeBack(told.total);
          answers.commitTo(told.total);
        },
      };
    }
    case 'score': {
      const panel = new SurprisePanel(segmentTokens);
      return {
        title: 'Surprise along the document',
        element: panel.element,
        take: (record) => panel.take(record),
        takeBack: (to) => panel.takeBack(to),
        end: (result) => panel.end(result),
      };
    }
    default:
      return {
        title: 'Output',
        element: h(
          'p',
          { class: 'hint' },
          'This task writes no text: what comes of it is a state, which is published at its end.',
        ),
      };
  }
}

function textOutput(live) {
  live.say('Nothing is written yet.');
  let written = 0;
  return {
    title: 'Text',
    element: live.element,
    take: (record, committed) => {
      live.take(record, committed);
      written += 1;
      if (written % 16 === 1) live.say('Text with a dotted line under it is not committed yet.');
    },
    commitTo: (position) => live.commitTo(position),
    takeBack: (to) => {
      live.takeBack(to);
      live.say(`A new worker goes on behind ${counted(to, 'record')}: what was not committed was taken back.`);
    },
    end: ({ usage, finishReason }) => {
      live.commitTo(usage.outputTokens);
      live.takeBack(usage.outputTokens);
      live.say(`${counted(usage.outputTokens, 'token')}, all committed; ended by ${finishReason}.`);
    },
  };
}
